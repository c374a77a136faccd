package main

import (
	"fmt"
	"strings"
	"time"
)

// changes are the points of the newest section of CHANGELOG.md, each on one line. What came before is in that file, which is packed, too.
func changes(text string) []string {
	_, section, _ := strings.Cut(text, "\n## ")
	section, _, _ = strings.Cut(section, "\n## ")
	var points []string
	for line := range strings.SplitSeq(section, "\n") {
		point, isNew := strings.CutPrefix(line, "- ")
		switch {
		case isNew:
			points = append(points, point)
		case len(points) > 0 && strings.TrimSpace(line) != "":
			points[len(points)-1] += " " + strings.TrimSpace(line)
		}
	}
	return points
}

// debianChangelog tells the newest changes as Debian's tools read them.
func debianChangelog(r release, points []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "meantime (%s-%s) unstable; urgency=medium\n\n", r, revision)
	for _, point := range points {
		out.WriteString(wrap("  * ", "    ", point))
	}
	fmt.Fprintf(&out, "\n -- %s  %s\n", maintainer, r.time.Format(time.RFC1123Z))
	return out.String()
}

// rpmChangelog tells the same in the form that nfpm makes rpm's of.
func rpmChangelog(r release, points []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "- semver: %q\n  date: %s\n  packager: %q\n  changes:\n", r.String()+"-"+revision, r.time.Format(time.RFC3339), maintainer)
	for _, point := range points {
		fmt.Fprintf(&out, "    - note: %q\n", strings.TrimRight(wrap("", "  ", point), "\n"))
	}
	return out.String()
}

// wrap breaks a text into lines of less than 80 characters.
func wrap(first, next, text string) string {
	var out strings.Builder
	line := first
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) >= 80 {
			out.WriteString(line + "\n")
			line, empty = next, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	return out.String() + line + "\n"
}
