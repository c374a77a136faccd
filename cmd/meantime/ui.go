package main

// This is the only file that prints and exits. The rules of what it prints:
//   - results go to standard output, everything else to standard error;
//   - an error begins with "meantime: " and a lower-case letter, and has no full stop at its end;
//   - every refusal says what to do next, on a line that begins with "meantime: hint: ";
//   - with --json, standard output holds JSON and nothing else.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/daemon/service"
	"meantime/sysclock"
)

// ui is where a command prints.
type ui struct {
	stdout, stderr io.Writer
	drawn          int // lines of the last redraw
}

func standardUI() *ui { return &ui{stdout: os.Stdout, stderr: os.Stderr} }

// hinted is an error together with what the user can do about it.
type hinted struct {
	err  error
	hint string // lower-case, without a full stop
}

func (h hinted) Error() string { return h.err.Error() }
func (h hinted) Unwrap() error { return h.err }

// print writes a result as it is.
func (u *ui) print(text string) error {
	_, err := io.WriteString(u.stdout, text)
	return err
}

// printf writes a formatted result.
func (u *ui) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(u.stdout, format, args...)
	return err
}

// json writes a result for programs, indented by two spaces.
func (u *ui) json(value any) error {
	encoder := json.NewEncoder(u.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// line writes a line of a result that is still growing; whoever reads it may be gone, which ends nothing.
func (u *ui) line(text string) { fmt.Fprintln(u.stdout, text) }

// terminal says whether results go to a screen that understands cursor movement.
func (u *ui) terminal() bool {
	f, ok := u.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// screen is where results go. A screen of a given width, a file or a pipe has no end to the right.
func (u *ui) screen() screen {
	s := screen{ascii: asciiLetters(os.Getenv)}
	if !u.terminal() {
		return s
	}
	s.colour = os.Getenv("NO_COLOR") == ""
	if width, height, err := term.GetSize(int(u.stdout.(*os.File).Fd())); err == nil {
		s.width, s.height = width, height
	}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
		s.width = columns
	}
	return s
}

// waiting tells that answers are missing for a while: in place of the last one, or where it is in nobody's way.
func (u *ui) waiting(err error, inPlace bool) {
	line := strings.Join(u.screen().wrap(err.Error()+": asking again", 0), "\n")
	if inPlace {
		u.redraw(line + "\n")
		return
	}
	fmt.Fprintln(u.stderr, "meantime: "+line)
}

// redraw replaces the text that the last redraw wrote.
func (u *ui) redraw(text string) {
	text = u.screen().fit(text)
	if u.drawn > 0 {
		fmt.Fprintf(u.stdout, "\x1b[%dA\x1b[J", u.drawn) // so many lines up, then clear to the end of the screen
	}
	u.drawn = strings.Count(text, "\n")
	io.WriteString(u.stdout, text)
}

// watched says whether somebody looks at standard error.
func (u *ui) watched() bool {
	f, ok := u.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// progress replaces the line of progress, if anybody looks; empty text removes it.
func (u *ui) progress(text string) {
	if u.watched() {
		fmt.Fprintf(u.stderr, "\r\x1b[K%s", text)
	}
}

// fail tells what went wrong and what to do next.
func (u *ui) fail(err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		fmt.Fprintf(u.stderr, "meantime: %s\n", line)
	}
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(u.stderr, "meantime: hint: %s\n", hint)
	}
}

// hintFor returns the hint that an error carries, or one that always goes with its kind.
func hintFor(err error) string {
	var own hinted
	var usage usageError
	var problems configs.Problems
	switch {
	case errors.As(err, &own):
		return own.hint
	case errors.As(err, &usage):
		return fmt.Sprintf("`%s --help` shows what can be written", usage.command)
	case onlyFlags(err):
		return "`meantime run --help` shows every flag"
	case errors.As(err, &problems):
		return "`meantime config print --reference` shows every setting with its default and range"
	case errors.Is(err, daemon.ErrNoKey):
		return "where everybody on the network is trusted, write insecure: true, or `meantime run --insecure`; `meantime run --dry-run` " +
			"leaves the clock alone"
	case errors.Is(err, sysclock.ErrPermission):
		return "run it as the service, as root or with CAP_SYS_TIME; --dry-run needs no privilege"
	case errors.Is(err, service.ErrRights):
		return "run it as root (sudo), on Windows as administrator; --dry-run shows what would be done"
	case errors.Is(err, service.ErrNoManager):
		return "whatever starts programs here can start `meantime run`: it stays in the foreground and ends on SIGTERM"
	case errors.Is(err, service.ErrEdited):
		return "`systemctl edit meantime` keeps changes in a file of their own, which stays; --force replaces the file and keeps a copy"
	case errors.Is(err, service.ErrNotInstalled):
		return "`meantime service install` installs it"
	case errors.Is(err, control.ErrNoDaemon):
		return "`meantime service start` starts it, `meantime service status` shows whether it runs; --socket asks another one, at the path " +
			"that it was given as control"
	case errors.Is(err, control.ErrForbidden):
		return fmt.Sprintf("ask as root, or join the group that may ask: `sudo usermod -aG %s NAME` on Linux, and log in again (setting "+
			"control_group)", viewGroup())
	case errors.Is(err, control.ErrReadOnly):
		return "say it as root"
	case errors.Is(err, control.ErrUnknown):
		return "it is another version than this program: `meantime service restart` starts the one that is installed"
	case errors.Is(err, sysclock.ErrUnsupported):
		return "--dry-run works on every operating system"
	}
	return ""
}

// viewGroup is the group that may ask, as far as the configuration of this host can be read.
func viewGroup() string {
	config, _, err := loadConfig("")
	if err != nil || config.ControlGroup == "" {
		return configs.Default().ControlGroup
	}
	return config.ControlGroup
}

// silent marks an error that its command has told the user already.
type silent struct{ err error }

func (s silent) Error() string { return s.err.Error() }
func (s silent) Unwrap() error { return s.err }

// exit ends the process after telling about err.
func exit(err error) {
	if err != nil && !is[silent](err) {
		standardUI().fail(err)
	}
	os.Exit(service.Leave(exitCode(err)))
}
