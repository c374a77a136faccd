// Package packaging holds the files that make meantime a service of an operating system. They are embedded, so that
// `meantime service` and the packages install the same ones.
package packaging

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/xml"
	"regexp"
	"strings"
)

var (
	//go:embed systemd/meantime.service
	unit string
	//go:embed systemd/meantime-wait-sync.service
	waitUnit string
	//go:embed systemd/meantime.sysusers
	sysusers string
	//go:embed launchd/meantime.plist
	plist string
	//go:embed freebsd/meantime
	rcScript string
	//go:embed openrc/meantime
	initScript string
)

// AlertRules are for a Prometheus that collects the metrics of a LAN's members, and Dashboard is for a Grafana beside it.
var (
	//go:embed prometheus/meantime.rules.yml
	AlertRules string
	//go:embed grafana/meantime.json
	Dashboard string
)

// Unit returns the systemd unit that runs the program at an absolute path. It needs the account of Sysusers. systemd
// refuses programs whose path has a quote or a backslash, however written.
func Unit(program string) string { return seal(unit, program) }

// WaitUnit returns the systemd unit that time-sync.target can wait for. It is of use beside Unit.
func WaitUnit(program string) string { return seal(waitUnit, program) }

// sealMark begins the last line of a unit, which tells what nobody has edited from what somebody has, whatever version wrote it.
const sealMark = "# To change this unit use `systemctl edit`; this file is replaced while it fits the seal "

// seal fills a unit's template and ends it with its seal, which is the template's: the path of the program does not matter.
func seal(template, program string) string {
	escaped := strings.ReplaceAll(program, "%", "%%")
	if strings.Contains(program, " ") {
		escaped = `"` + escaped + `"`
	}
	return fill(template, escaped) + sealMark + digest(template) + "\n"
}

func digest(template string) string {
	sum := sha256.Sum256([]byte(template))
	return hex.EncodeToString(sum[:8])
}

// started is what a unit starts, as seal has written it.
var started = regexp.MustCompile(`(?m)^ExecStart=("[^"\n]*"|[^" \n]+) `)

// Pristine says whether a unit is as this or another version of meantime wrote it, for a program at any path.
func Pristine(unit string) bool {
	body, sum, sealed := strings.Cut(unit, sealMark)
	return sealed && sum == digest(started.ReplaceAllLiteralString(body, "ExecStart={{path}} "))+"\n"
}

// Sysusers returns the file for sysusers.d that creates the account of both units.
func Sysusers() string { return sysusers }

// Plist returns the property list for launchd that runs the program at an absolute path, as root.
func Plist(program string) string {
	var escaped strings.Builder
	if err := xml.EscapeText(&escaped, []byte(program)); err != nil {
		panic("packaging: " + err.Error()) // a strings.Builder takes everything
	}
	return sealed(fill(plist, escaped.String()))
}

// RCScript returns the script for FreeBSD's /usr/local/etc/rc.d that runs the program at an absolute path, as root.
// rc.subr splits commands at spaces, so the path must have none.
func RCScript(program string) string { return sealed(fill(rcScript, program)) }

// sealPlace is where a text that is no unit has its seal, and sealIn what has been put there: the digest of the text with the place itself.
const sealPlace = "{{seal}}"

var sealIn = regexp.MustCompile(`while it fits the seal ([0-9a-f]{16})`)

func sealed(text string) string { return strings.Replace(text, sealPlace, digest(text), 1) }

// Unedited says of a property list or a script whether it is as this or another version of meantime wrote it, for a program at any path.
func Unedited(text string) bool {
	found := sealIn.FindStringSubmatch(text)
	return found != nil && digest(strings.Replace(text, found[1], sealPlace, 1)) == found[1]
}

// InitScript returns the script for OpenRC's /etc/init.d that runs the program at an absolute path, without spaces. Root starts it, and it
// goes on as the account that the package makes.
func InitScript(program string) string { return fill(initScript, program) }

func fill(template, program string) string { return strings.ReplaceAll(template, "{{path}}", program) }
