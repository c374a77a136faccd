package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"meantime/packaging"
)

// rc is FreeBSD's manager: a script for rc.subr(8), which starts the program below daemon(8), and a variable in rc.conf(5).
type rc struct{ single }

const (
	rcFile = "/usr/local/etc/rc.d/" + Name
	rcVar  = Name + "_enable"
	// rcLog is where syslogd puts what daemon(8) hands it, unless syslog.conf(5) says otherwise.
	rcLog = "/var/log/messages"
	// rcChild is the file with the number of the program's own process.
	rcChild = "/var/run/" + Name + ".child.pid"
)

func newRC(root string, uid int) *rc {
	r := &rc{single{root: root, uid: uid, file: rcFile, mode: 0o555, text: packaging.RCScript, patience: startPatience}}
	r.stop = r.end
	r.enable = func(book *ledger) error {
		if r.boots() {
			return nil
		}
		return book.do("sysrc "+rcVar+"=YES", quiet("sysrc", rcVar+"=YES"), quiet("sysrc", "-x", rcVar))
	}
	r.disable = func(book *ledger) error {
		if _, err := says("sysrc", "-n", rcVar); err != nil {
			return nil
		}
		return book.do("sysrc -x "+rcVar, quiet("sysrc", "-x", rcVar), nil)
	}
	return r
}

// Install refuses a path that rc.subr, which splits at spaces and lets the shell read the rest, would not understand.
func (r *rc) Install(o Options) ([]Change, error) {
	program, err := programPath(o.Program)
	if err != nil {
		return nil, err
	}
	if !regexp.MustCompile(`^[\w/.+:@-]+$`).MatchString(program) {
		return nil, fmt.Errorf("no rc script can name the program %q: copy it to /usr/local/bin and run `service install` from there", program)
	}
	return r.single.Install(o)
}

// Start starts the service, also one that is not enabled, and sees whether it stays.
func (r *rc) Start() error {
	if err := r.may(); err != nil {
		return err
	}
	if s, err := r.Status(); err != nil || s.State == Running {
		return err
	}
	if err := quiet("service", Name, "onestart")(); err != nil {
		return err
	}
	return r.await(r.Status)
}

// Stop returns once the service has ended: rc.subr waits for it.
func (r *rc) Stop() error {
	if err := r.may(); err != nil {
		return err
	}
	return r.end()
}

func (r *rc) end() error {
	if !r.runs() {
		return nil
	}
	return quiet("service", Name, "onestop")()
}

// Restart is Stop and Start.
func (r *rc) Restart() error {
	if err := r.Stop(); err != nil {
		return err
	}
	return r.Start()
}

// runs says whether daemon(8) is there.
func (r *rc) runs() bool { return quiet("service", Name, "onestatus")() == nil }

// boots says whether rc.conf has the service started.
func (r *rc) boots() bool {
	value, err := says("sysrc", "-n", rcVar)
	return err == nil && strings.EqualFold(strings.TrimSpace(value), "yes")
}

// Status asks the script, and the file for the process.
func (r *rc) Status() (Status, error) {
	status := Status{Manager: "rc", State: Absent}
	script, err := os.ReadFile(filepath.Join(r.root, rcFile))
	if err != nil {
		return status, nil
	}
	status.State, status.Boots = Stopped, r.boots()
	if program := regexp.MustCompile(`(?m)^program=(.*)$`).FindSubmatch(script); program != nil {
		status.Program = string(program[1])
	}
	if !r.runs() {
		return status, nil
	}
	pid, _ := os.ReadFile(filepath.Join(r.root, rcChild))
	status.PID, _ = strconv.Atoi(strings.TrimSpace(string(pid)))
	if status.State = Running; status.PID == 0 || quiet("kill", "-0", strconv.Itoa(status.PID))() != nil {
		status.State, status.PID, status.Detail = Failed, 0, "it has ended, and daemon(8) starts it again after 10 s"
	}
	return status, nil
}

// Logs shows what syslogd has of it.
func (r *rc) Logs(ctx context.Context, o LogOptions, out io.Writer) error {
	lines, err := r.past()
	if err != nil {
		return reason(err)
	}
	if o.Lines > 0 && len(lines) > o.Lines {
		lines = lines[len(lines)-o.Lines:]
	}
	if _, err := io.WriteString(out, strings.Join(lines, "")); err != nil || !o.Follow {
		return err
	}
	followed, feed := io.Pipe()
	go func() {
		_ = feed.CloseWithError(command(ctx, feed, "tail", "-n", "0", "-F", r.root+rcLog))
	}()
	err = keepOwn(followed, func(line string) error { _, err := io.WriteString(out, line); return err })
	if ctx.Err() != nil { // whoever follows ends it so
		return nil
	}
	return errors.Join(err, followed.Close())
}

// past are the lines of the log that are this service's.
func (r *rc) past() (lines []string, err error) {
	f, err := os.Open(filepath.Join(r.root, rcLog))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = keepOwn(f, func(line string) error { lines = append(lines, line); return nil })
	return lines, err
}

// ownLine is a line of syslog that the service has written.
var ownLine = regexp.MustCompile(` ` + Name + `(\[\d+\])?: `)

// keepOwn hands on the lines of syslog that are this service's.
func keepOwn(in io.Reader, to func(line string) error) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if !ownLine.MatchString(lines.Text()) {
			continue
		}
		if err := to(lines.Text() + "\n"); err != nil {
			return err
		}
	}
	return lines.Err()
}
