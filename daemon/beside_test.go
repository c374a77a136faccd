package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// able is a process that may set the clock.
func able(line string) process {
	args := strings.Fields(line)
	name := args[0][strings.LastIndexByte(args[0], '/')+1:]
	return process{pid: 7, command: name[:min(len(name), commandLength)], args: args, able: true}
}

// Daemons that steer the system's clock are rivals; those that their command line keeps off it are not.
func TestRivals(t *testing.T) {
	for line, want := range map[string]string{
		"/usr/sbin/chronyd -F 1":                      "chronyd",
		"/usr/sbin/chronyd":                           "chronyd",
		"/usr/sbin/chronyd -x":                        "",
		"/usr/sbin/chronyd -d -x -f /etc/x.conf":      "",
		"/usr/sbin/chronyd -dx":                       "",
		"/usr/sbin/chronyd -Q":                        "",
		"/usr/sbin/chronyd -q":                        "chronyd", // sets it once and ends
		"/usr/sbin/chronyd -f /etc/-x":                "chronyd",
		"/usr/sbin/chronyd -f -x":                     "chronyd", // a file of that name
		"/usr/sbin/chronyd -fx":                       "chronyd",
		"/usr/sbin/chronyd -u x":                      "chronyd",
		"/usr/sbin/ntpd -p /var/run/ntpd.pid -g":      "ntpd",
		"ntpd: ntp engine":                            "ntpd:", // see below
		"/usr/lib/systemd/systemd-timesyncd":          "systemd-timesyncd",
		"/usr/lib/systemd/systemd-timesyncwhat":       "",
		"/usr/sbin/ptp4l -i eth0 -S":                  "ptp4l",
		"/usr/sbin/ptp4l -i eth0 --free_running 1":    "",
		"/usr/sbin/ptp4l -i eth0 --free_running=1":    "",
		"/usr/sbin/ptp4l -i eth0 --free_running 0":    "ptp4l",
		"/usr/sbin/phc2sys -s eth0 -w":                "phc2sys",
		"/usr/sbin/phc2sys -s eth0 -c CLOCK_REALTIME": "phc2sys",
		"/usr/sbin/phc2sys -s CLOCK_REALTIME -c eth0": "",
		"/usr/sbin/phc2sys -s CLOCK_REALTIME -ceth0":  "",
		"/usr/sbin/phc2sys -a -r":                     "phc2sys",
		"/usr/sbin/phc2sys -arr":                      "phc2sys",
		"/usr/sbin/phc2sys -a":                        "",
		"/usr/sbin/phc2sys -a -O -r":                  "", // -r is the offset
		"/usr/bin/sleep 60":                           "",
		"/usr/bin/vim /etc/chronyd":                   "",
		"/usr/sbin/ntpdate pool":                      "",
	} {
		p := able(line)
		if strings.HasSuffix(want, ":") { // it wrote its own command line: the kernel's name stays
			p.command, want = strings.TrimSuffix(want, ":"), strings.TrimSuffix(want, ":")
		}
		got := ""
		for _, r := range rivalsAmong([]process{p}) {
			got += r.name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
		p.able = false
		if got := rivalsAmong([]process{p}); len(got) != 0 {
			t.Errorf("%s without the right to set the clock: %v", line, got)
		}
	}
	hidden := process{pid: 3, command: "worker", program: "chronyd", args: []string{"worker"}, able: true}
	if got := rivalsAmong([]process{hidden}); len(got) != 1 || got[0].name != "chronyd" {
		t.Errorf("one that changed its name: %v", got)
	}
}

// The lists of the other systems.
func TestRivalsElsewhere(t *testing.T) {
	got := rivalsByName([]process{{pid: 1, command: "launchd"}, {pid: 243, command: "timed"}, {pid: 9, command: "timedwhat"}, {pid: 77, command: "ntpd"}})
	if len(got) != 2 || got[0].String() != "timed (process 243)" || got[1].String() != "ntpd (process 77)" ||
		!strings.Contains(got[0].remedy, "-setusingnetworktime off") {
		t.Errorf("by name: %v", got)
	}
	got, err := rivalsByService([]string{"W32Time", "NTP", "odd"}, func(name string) (bool, error) {
		if name == "odd" {
			return false, errTest
		}
		return name == "W32Time", nil
	})
	if len(got) != 1 || got[0].String() != "W32Time" || !strings.Contains(got[0].remedy, "sc config W32Time start= disabled") || !errors.Is(err, errTest) {
		t.Errorf("by service: %v, %v", got, err)
	}
}

// kinfo is a record of FreeBSD's list of processes.
func kinfo(pid int32, name string) []byte {
	record := bytes.Repeat([]byte{0xa5}, kinfoSize) // what is around must not matter
	binary.NativeEndian.PutUint32(record, kinfoSize)
	binary.NativeEndian.PutUint32(record[4:], kinfoLayout)
	binary.NativeEndian.PutUint32(record[kinfoPID:], uint32(pid))
	copy(record[kinfoCommand:], name+"\x00")
	return record
}

// FreeBSD's list is read where it is the one known, and refused, not misread, where it is not.
func TestKinfo(t *testing.T) {
	longest := strings.Repeat("x", kinfoName-1)
	all, err := processesOfKinfo(slices.Concat(kinfo(0, "kernel"), kinfo(77, "ntpd"), kinfo(99999, longest)))
	want := []process{{command: "kernel"}, {pid: 77, command: "ntpd"}, {pid: 99999, command: longest}}
	if err != nil || !slices.EqualFunc(all, want, func(a, b process) bool { return a.pid == b.pid && a.command == b.command }) {
		t.Errorf("got %v, %v", all, err)
	}
	if all, err := processesOfKinfo(nil); len(all) != 0 || err != nil {
		t.Errorf("of nothing: %v, %v", all, err)
	}
	other := func(change func([]byte) []byte) []byte { return append(kinfo(1, "init"), change(kinfo(2, "ntpd"))...) }
	for name, list := range map[string][]byte{
		"half a record":      other(func(b []byte) []byte { return b[:kinfoSize-1] }),
		"another size":       other(func(b []byte) []byte { b[0]++; return b }),
		"size 0":             make([]byte, kinfoSize),
		"another layout":     other(func(b []byte) []byte { b[4]++; return b }),
		"a name without end": kinfo(2, longest+"x"+longest),
	} {
		if all, err := processesOfKinfo(list); !errors.Is(err, errKinfo) || all != nil {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
}

// A clock that another daemon sets is refused with its name and what to do, unless the operator has said beside: true.
func TestAlone(t *testing.T) {
	two := []rival{
		{name: "chronyd", pid: 12, unit: "chrony.service", remedy: "run `systemctl disable --now chrony`"},
		{name: "chronyd", pid: 13, unit: "chrony.service", remedy: "run `systemctl disable --now chrony`"},
	}
	look := func() ([]rival, error) { return two, nil }
	j := &journal{}
	err := alone(look, false, slog.New(j))
	if !errors.Is(err, ErrBeside) || !errors.Is(err, ErrClockHeld) || len(j.find("")) != 0 {
		t.Errorf("got %v", err)
	}
	const want = "another time daemon sets this host's clock: chronyd (process 12, chrony.service), chronyd (process 13, chrony.service); " +
		"two that steer one clock fight: run `systemctl disable --now chrony`; or say beside: true if it leaves the clock alone, or try --dry-run"
	if err == nil || err.Error() != want {
		t.Errorf("it says  %v\nit should %s", err, want)
	}
	if err := alone(look, true, slog.New(j)); err != nil {
		t.Errorf("beside: true: %v", err)
	}
	if w := j.find("another time daemon sets this host's clock; allowed by beside: true"); len(w) != 1 || w[0].Level != slog.LevelWarn || value(w[0], "daemons") != names(two) {
		t.Errorf("beside: true logs %v", w)
	}
	j = &journal{}
	if err := alone(func() ([]rival, error) { return nil, errTest }, false, slog.New(j)); err != nil || len(j.warnings()) != 1 {
		t.Errorf("a list that cannot be read: %v, warned %q", err, j.warnings())
	}
	j = &journal{}
	if err := alone(func() ([]rival, error) { return nil, nil }, false, slog.New(j)); err != nil || len(j.find("")) != 0 {
		t.Errorf("nobody: %v, logged %v", err, j.find(""))
	}
}

// A daemon that starts later is warned of within a minute, once; another one again.
func TestWatchBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, j := time.Now(), &journal{}
		chrony, ntp := rival{name: "chronyd", pid: 1}, rival{name: "ntpd", pid: 2}
		look := func() ([]rival, error) {
			switch minutes := int(time.Since(began) / time.Minute); {
			case minutes < 3:
				return []rival{chrony}, nil // there from the start
			case minutes < 5:
				return []rival{chrony, ntp}, nil
			case minutes == 5:
				return nil, errTest
			case minutes < 8:
				return nil, nil
			}
			return []rival{ntp}, nil
		}
		done := make(chan struct{})
		go func() { defer close(done); watchBeside(ctx, look, slog.New(j), func([]rival) {}) }()
		time.Sleep(12*time.Minute + time.Second)
		cancel()
		<-done
		var got []string
		for _, r := range j.find("") {
			got = append(got, r.Time.Sub(began).String()+" "+value(r, "daemons").(string))
		}
		if want := []string{"3m0s chronyd (process 1), ntpd (process 2)", "8m0s ntpd (process 2)"}; !slices.Equal(got, want) {
			t.Errorf("warned %q, want %q", got, want)
		}
	})
}
