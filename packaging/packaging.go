// Package packaging holds the files that make meantime a service of an operating system. They are embedded, so that
// `meantime service` and the packages install the same ones.
package packaging

import (
	_ "embed"
	"encoding/xml"
	"strings"
)

var (
	//go:embed systemd/meantime.service
	unit string
	//go:embed systemd/meantime.sysusers
	sysusers string
	//go:embed launchd/meantime.plist
	plist string
	//go:embed freebsd/meantime
	rcScript string
)

// Unit returns the systemd unit that runs the program at an absolute path. It needs the account of Sysusers. systemd
// refuses programs whose path has a quote or a backslash, however written.
func Unit(program string) string {
	escaped := strings.ReplaceAll(program, "%", "%%")
	if strings.Contains(program, " ") {
		escaped = `"` + escaped + `"`
	}
	return fill(unit, escaped)
}

// Sysusers returns the file for sysusers.d that creates the account of Unit.
func Sysusers() string { return sysusers }

// Plist returns the property list for launchd that runs the program at an absolute path, as root.
func Plist(program string) string {
	var escaped strings.Builder
	if err := xml.EscapeText(&escaped, []byte(program)); err != nil {
		panic("packaging: " + err.Error()) // a strings.Builder takes everything
	}
	return fill(plist, escaped.String())
}

// RCScript returns the script for FreeBSD's /usr/local/etc/rc.d that runs the program at an absolute path, as root.
// rc.subr splits commands at spaces, so the path must have none.
func RCScript(program string) string { return fill(rcScript, program) }

func fill(template, program string) string { return strings.ReplaceAll(template, "{{path}}", program) }
