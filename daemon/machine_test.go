package daemon

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"meantime/configs"
)

// The defaults suit every system, and each refuses what its own clock cannot do.
func TestMachineOf(t *testing.T) {
	tenPercent := []byte("max_slew: 100000ppm")
	for goos, refuses := range map[string]string{
		"linux": "", "windows": "SetSystemTimeAdjustmentPrecise", "darwin": "ntp_adjtime", "freebsd": "ntp_adjtime", "plan9": "",
	} {
		m := machineOf(goos)
		if _, err := m.Parse("f", nil); err != nil {
			t.Errorf("%s: the defaults: %v", goos, err)
		}
		_, err := m.Parse("f", tenPercent)
		switch {
		case refuses == "" && err != nil:
			t.Errorf("%s: %v", goos, err)
		case refuses != "" && (err == nil || !strings.Contains(err.Error(), refuses) || !strings.Contains(err.Error(), "f:1: max_slew")):
			t.Errorf("%s: 10 %% gave %v", goos, err)
		}
	}
	if m := machineOf("windows"); m.Slew != 500*configs.PPM {
		t.Errorf("Windows: %v", m.Slew)
	}
}

// A host's name can be shown anywhere, whatever it is.
func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"clock-7.lan": "clock-7.lan", "a\x1b[31mb\nc": "a[31mbc", "\xff\xfeé": "é", "": "",
		strings.Repeat("é", 40): strings.Repeat("é", 31),
	} {
		if got := label(name); got != want {
			t.Errorf("%q is shown as %q, not %q", name, got, want)
		}
	}
}

// Other programs' hands at the clock are told as long as they are news, and those that run as long as they do.
func TestInterference(t *testing.T) {
	now := time.Now()
	d := &driver{rivals: []rival{{name: "chronyd", pid: 7}}}
	d.foreign.news("frequency was changed", now)
	if got := d.interference(now.Add(foreignForget)); len(got) != 2 || got[0] != "chronyd (process 7)" || got[1] != "frequency was changed" {
		t.Errorf("%q", got)
	}
	if got := d.interference(now.Add(foreignForget + 1)); len(got) != 1 {
		t.Errorf("a minute later: %q", got)
	}
}

// Other time programs that come and go are events; what the start has found is one, too.
func TestBesideIsAnEvent(t *testing.T) {
	d := &driver{log: slog.New(slog.DiscardHandler)}
	d.beside(nil)
	d.beside([]rival{{name: "chronyd", pid: 7, remedy: "stop it"}})
	d.beside(nil)
	e := d.events.list().Events
	if len(e) != 2 || e[0].Level != "WARN" || e[0].Facts["daemons"] != "chronyd (process 7)" || e[1].Facts["was"] != "chronyd (process 7)" {
		t.Errorf("%+v", e)
	}
}
