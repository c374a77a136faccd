package service

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"meantime/packaging"
)

// launchd is the manager of macOS. It reads all property lists of its folder at boot, so an installation is that file; service start and
// stop load and unload it.
type launchd struct{ single }

const (
	plistFile   = "/Library/LaunchDaemons/" + Name + ".plist"
	launchdLog  = "/var/log/" + Name + ".log"
	launchdName = "system/" + Name
)

func newLaunchd(root string, uid int) *launchd {
	l := &launchd{single{
		root: root, uid: uid, file: plistFile, mode: 0o644, text: packaging.Plist,
		belongings: []string{launchdLog}, patience: startPatience,
	}}
	l.stop = l.unload
	// What an operator has once disabled stays so in a list of launchd's own, whatever files there are.
	l.enable = func(book *ledger) error {
		if !l.disabled() {
			return nil
		}
		return book.do("launchctl enable "+launchdName, quiet("launchctl", "enable", launchdName), nil)
	}
	return l
}

// Start loads the service, which starts it, or starts one that is loaded.
func (l *launchd) Start() error {
	if err := l.may(); err != nil {
		return err
	}
	start := quiet("launchctl", "bootstrap", "system", l.root+plistFile)
	if _, loaded := l.print(); loaded {
		start = quiet("launchctl", "kickstart", launchdName)
	}
	if err := start(); err != nil {
		return err
	}
	return l.await(l.Status)
}

// Stop unloads the service: launchd would start one again that only ended. At the next boot it is there again.
func (l *launchd) Stop() error {
	if err := l.may(); err != nil {
		return err
	}
	return l.unload()
}

// unload returns once the service has ended: launchctl may return before.
func (l *launchd) unload() error {
	const looks = 100
	var failed error
	for i := range looks {
		if _, loaded := l.print(); !loaded {
			return nil
		}
		if i == 0 {
			failed = quiet("launchctl", "bootout", launchdName)()
		}
		time.Sleep(l.patience * 6 / looks) // 30 s in all: launchd kills after 20
	}
	if failed == nil {
		failed = fmt.Errorf("launchd has not unloaded it yet: `launchctl print %s` shows it", launchdName)
	}
	return failed
}

// Restart has launchd read the file again as well.
func (l *launchd) Restart() error {
	if err := l.Stop(); err != nil {
		return err
	}
	return l.Start()
}

// print is what launchd knows of the service; loaded is false where that is nothing.
func (l *launchd) print() (properties map[string]string, loaded bool) {
	text, err := says("launchctl", "print", launchdName)
	if err != nil {
		return nil, false
	}
	properties = map[string]string{}
	for line := range strings.Lines(text) { // what is indented by one tab is the service's own
		key, value, is := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		if key, own := strings.CutPrefix(key, "\t"); is && own && !strings.HasPrefix(key, "\t") {
			properties[key] = value
		}
	}
	return properties, true
}

// disabled says whether an operator has forbidden launchd to load it.
func (l *launchd) disabled() bool {
	text, err := says("launchctl", "print-disabled", "system")
	return err == nil && regexp.MustCompile(`"`+Name+`" => (true|disabled)`).MatchString(text)
}

// Status asks launchd; where the service is not loaded, the file says whether it is installed.
func (l *launchd) Status() (Status, error) {
	status := Status{Manager: "launchd", State: Absent}
	properties, loaded := l.print()
	if _, err := os.Stat(filepath.Join(l.root, plistFile)); err != nil && !loaded {
		return status, nil
	}
	status.State, status.Boots, status.Program = Stopped, !l.disabled(), properties["program"]
	status.PID, _ = strconv.Atoi(properties["pid"])
	switch code := properties["last exit code"]; {
	case status.PID != 0:
		status.State = Running
	case loaded && code != "" && code != "(never exited)":
		status.State, status.Detail = Failed, "it ended with exit code "+code
		if last := l.lastWords(); last != "" {
			status.Detail = last
		}
	}
	return status, nil
}

// lastWords is the last line of the log.
func (l *launchd) lastWords() string {
	text, err := says("tail", "-n", "1", l.root+launchdLog)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

// Logs shows the file that launchd writes what the service says to.
func (l *launchd) Logs(ctx context.Context, o LogOptions, out io.Writer) error {
	return tail(ctx, o, out, l.root+launchdLog)
}

// tail shows the end of a file.
func tail(ctx context.Context, o LogOptions, out io.Writer, path string) error {
	lines := "+1"
	if o.Lines > 0 {
		lines = strconv.Itoa(o.Lines)
	}
	args := []string{"-n", lines}
	if o.Follow {
		args = append(args, "-F") // also over a rotation
	}
	err := command(ctx, out, "tail", append(args, path)...)
	if ctx.Err() != nil { // whoever follows ends it so
		return nil
	}
	return err
}
