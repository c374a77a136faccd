package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is what is packed: which version, and when it was committed.
type release struct {
	base  string // "1.2.3"
	pre   string // "rc1", or nothing
	hash  string // of a commit that is not the tagged one; nothing: it is
	dirty bool   // built from uncommitted changes
	time  time.Time
}

// tagged is how a version's tag looks. What is allowed before a release is what all three formats can sort.
var tagged = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-((?:alpha|beta|rc)\d+))?$`)

// findRelease asks git for the last tag and for what came after it, unless a version is given. SOURCE_DATE_EPOCH replaces the commit's time.
func findRelease(root, version string) (release, error) {
	var r release
	epoch, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "-1"), 10, 64)
	if err != nil {
		return r, fmt.Errorf("SOURCE_DATE_EPOCH: %w; write seconds since 1970", err)
	}
	if version == "" {
		if r, version, err = askGit(root); err != nil {
			return r, fmt.Errorf("%w; in what is no checkout of git, give --version and SOURCE_DATE_EPOCH", err)
		}
	} else if epoch < 0 {
		return r, errors.New("--version needs SOURCE_DATE_EPOCH, the seconds since 1970 of that version")
	}
	parts := tagged.FindStringSubmatch(version)
	if parts == nil {
		return r, fmt.Errorf("version %q: write v1.2.3, or v1.2.3-rc1 (alpha, beta, rc)", version)
	}
	r.base, r.pre = parts[1], parts[2]
	if epoch >= 0 {
		r.time = time.Unix(epoch, 0)
	}
	r.time = r.time.UTC()
	return r, nil
}

// askGit returns what is checked out, and the last tag; v0.0.0 where there is none yet.
func askGit(root string) (r release, tag string, err error) {
	head, err := git(root, "log", "-1", "--format=%H %ct")
	if err != nil {
		return r, "", err
	}
	hash, seconds, _ := strings.Cut(head, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return r, "", fmt.Errorf("git log: %w", err)
	}
	r.time = time.Unix(unix, 0)
	changes, err := git(root, "status", "--porcelain")
	if err != nil {
		return r, "", err
	}
	r.dirty = changes != ""
	tag, err = git(root, "describe", "--tags", "--abbrev=0", "--match=v[0-9]*")
	if err != nil {
		tag = "v0.0.0"
	}
	if at, err := git(root, "rev-parse", "--verify", "--quiet", tag+"^{commit}"); err != nil || at != hash || r.dirty {
		r.hash = hash[:7]
	}
	return r, tag, nil
}

// git runs git on a checkout, whoever owns it: nothing of it is run.
func git(root string, args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", root, "-c", "safe.directory=*", "-c", "core.fsmonitor=false"}, args...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// String is the version as the program, Debian and rpm say it: 1.2.3, 1.2.3~rc1, or, some commits later, 1.2.3+git20261126161628.cb34524:
// later than the release that it follows, earlier than the next, and among commits by their time.
func (r release) String() string {
	text := r.base
	if r.pre != "" {
		text += "~" + r.pre
	}
	if r.hash != "" {
		text += r.time.Format("+git20060102150405.") + r.hash
	}
	if r.dirty {
		text += ".dirty"
	}
	return text
}

// owns says of the name of a built file whether it is of this version. What follows the version is a "-" in all of them.
func (r release) owns(name string) bool {
	return slices.ContainsFunc([]string{"meantime_" + r.String(), "meantime-" + r.String(), "meantime_" + r.apk()}, func(start string) bool {
		return strings.HasPrefix(name, start+"-")
	})
}

// apk is the version for Alpine, which knows only some words and numbers of 32 bits: 1.2.3_rc1, 1.2.3_git20261126_p161628. The hash has no
// place there; uncommitted changes are one more _p.
func (r release) apk() string {
	text := r.base
	if r.pre != "" {
		text += "_" + r.pre
	}
	if r.hash != "" {
		text += r.time.Format("_git20060102_p150405")
	}
	if r.dirty {
		text += "_p1"
	}
	return text
}
