//go:build unix

package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"meantime/configs"
	"meantime/daemon"
	"meantime/daemon/control"
	"meantime/netproto"
	"meantime/netproto/udp"
	"meantime/sysclock"
)

var update = flag.Bool("update", false, "write the goldens of testdata anew")

// examine runs all checks on a host.
func examine(t testing.TB, h *host) Report {
	t.Helper()
	r, err := Examine(t.Context(), h.Machine)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if (f.Verdict == Warn || f.Verdict == Fail) && f.Advice == "" {
			t.Errorf("%s says not what to do: %s", f.Check, f.Found)
		}
	}
	return r
}

// lines are a report, one a finding.
func lines(r Report) string {
	var text strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&text, "%s %s/%s", f.Verdict, f.Group, f.Check)
		if f.Subject != "" {
			fmt.Fprintf(&text, " [%s]", f.Subject)
		}
		fmt.Fprintf(&text, ": %s", f.Found)
		if f.Advice != "" {
			fmt.Fprintf(&text, " >> %s", f.Advice)
		}
		text.WriteByte('\n')
	}
	fmt.Fprintf(&text, "%s %v\n", r.Verdict, r.Counts)
	return text.String()
}

// ill are hosts that lack one thing each, and what is said of that.
var ill = []struct {
	check   string
	verdict Verdict
	says    string // found and advice, joined; a regular expression
	make    func(*testing.T, *host)
}{
	{"configuration", Fail, "poll: 5 has no unit.*write 5s", func(_ *testing.T, h *host) { _, h.Problems = configs.Parse("f", []byte("poll: 5")) }},
	{"configuration", Fail, "cannot be read; the rest is looked at with the defaults", func(_ *testing.T, h *host) { h.Problems = errors.New("cannot be read") }},
	{"configuration", Skip, "may not read /etc/meantime/meantime.yaml.*root", func(_ *testing.T, h *host) { h.Problems, h.User = fs.ErrPermission, 1000 }},
	{"configuration", Pass, "does not exist: the defaults hold", func(_ *testing.T, h *host) { h.File = "" }},

	{"key", Warn, "anyone on the network.*insecure", func(_ *testing.T, h *host) { h.rings = nil }},
	{"key", Fail, "its mode is 0644.*>> .*run `chmod 640", func(t *testing.T, h *host) { h.realKey(t, 0o644) }},
	{"key", Fail, "does not exist >> copy the LAN's key file there", func(t *testing.T, h *host) { h.realKey(t, 0) }},
	{"key", Skip, "may not read", func(_ *testing.T, h *host) {
		h.User = 1000
		h.Keys = func(configs.Config) (*netproto.Ring, error) { return nil, fs.ErrPermission }
	}},

	{"state directory", Fail, "mode 0777.*chmod go-w", func(_ *testing.T, h *host) { h.files["var/lib/meantime"] = &fstest.MapFile{Mode: fs.ModeDir | 0o777} }},
	{"state directory", Fail, "is no folder", func(_ *testing.T, h *host) { h.put("/var/lib/meantime", "") }},
	{"state directory", Fail, "512 KiB are free", func(_ *testing.T, h *host) { h.Free = func(string) (uint64, error) { return 512 << 10, nil } }},
	{"state directory", Pass, "will be made", func(_ *testing.T, h *host) { delete(h.files, "var/lib/meantime") }},

	{"service", Warn, "nothing starts it at boot >> .meantime service install", func(_ *testing.T, h *host) { delete(h.files, "etc/systemd/system/meantime.service") }},
	{"service", Warn, "not started at boot", func(_ *testing.T, h *host) {
		delete(h.files, "etc/systemd/system/multi-user.target.wants/meantime.service")
	}},

	{"daemon", Warn, "no meantime answers.*service start", func(_ *testing.T, h *host) { h.answers("", control.ErrNoDaemon) }},
	{"daemon", Skip, "may not ask", func(_ *testing.T, h *host) { h.answers("", control.ErrForbidden) }},
	{"daemon", Warn, "another version", func(_ *testing.T, h *host) { h.answers("", control.ErrUnknown) }},
	{"daemon", Fail, "service restart", func(_ *testing.T, h *host) { h.answers("", control.ErrRefused) }},
	{"daemon", Warn, "holdover.*the master is silent", func(_ *testing.T, h *host) { h.answers("holdover", nil) }},
	{"daemon", Fail, "panic.*panic limits", func(_ *testing.T, h *host) { h.answers("panic", nil) }},
	{"daemon", Warn, "others at its clock: chronyd >> end it", func(_ *testing.T, h *host) {
		h.Status = func(context.Context) (control.Status, error) {
			return control.Status{State: "following", Interference: []string{"chronyd"}}, nil
		}
	}},
	{"daemon", Skip, "control is empty", func(_ *testing.T, h *host) { h.Config.Control = "" }},

	{"time daemons", Fail, "chronyd sets this clock >> stop chronyd; two", func(_ *testing.T, h *host) { h.beside("chronyd") }},
	{"time daemons", Warn, "leaves the clock alone", func(_ *testing.T, h *host) { h.beside("chronyd"); h.Config.Beside = true }},
	{"time daemons", Skip, "not to be seen", func(_ *testing.T, h *host) {
		h.Rivals = func() ([]daemon.Rival, error) { return nil, fs.ErrPermission }
	}},

	{"clock setters", Warn, "/etc/cron.daily/clock runs ntpdate", func(_ *testing.T, h *host) { h.put("/etc/cron.daily/clock", "#!/bin/sh\nntpdate -u pool\n") }},
	{"clock setters", Warn, "runs hwclock --hctosys", func(_ *testing.T, h *host) { h.put("/etc/crontab", "0 4 * * * root hwclock --hctosys\n") }},

	{"container", Warn, "docker.*on the host", func(_ *testing.T, h *host) { h.put("/.dockerenv", "") }},
	{"container", Warn, "lxc", func(_ *testing.T, h *host) { h.put("/run/systemd/container", "lxc\n") }},
	{"container", Warn, "kubepods", func(_ *testing.T, h *host) { h.put("/proc/1/cgroup", "0::/kubepods/pod1\n") }},
	{"container", Warn, "user namespace", func(_ *testing.T, h *host) { h.put("/proc/self/uid_map", "0 1000 1\n") }},

	{"virtual machine", Warn, "VBoxService may set this clock", func(_ *testing.T, h *host) { h.guest(); h.put("/proc/300/comm", "VBoxService\n") }},
	{"virtual machine", Warn, "its clock source is hpet", func(_ *testing.T, h *host) { h.guest(); h.counts("hpet", "hpet") }},
	{"virtual machine", Pass, "QEMU Standard PC", func(_ *testing.T, h *host) { h.guest() }},
	{"virtual machine", Pass, "/dev/ptp0", func(_ *testing.T, h *host) { h.guest(); h.put("/sys/class/ptp/ptp0/clock_name", "KVM virtual PTP\n") }},

	{"suspend", Warn, "BAT0.*systemctl mask", func(_ *testing.T, h *host) { h.laptop() }},
	{"suspend", Pass, "possible", func(_ *testing.T, h *host) {
		h.laptop()
		for _, name := range []string{"sleep", "suspend"} {
			h.files["etc/systemd/system/"+name+".target"] = &fstest.MapFile{Mode: fs.ModeDevice | fs.ModeCharDevice}
		}
	}},

	{"hardware clock", Warn, "step: boot", func(_ *testing.T, h *host) { delete(h.files, "sys/class/rtc/rtc0/name") }},
	{"hardware clock", Warn, "years", func(_ *testing.T, h *host) {
		delete(h.files, "sys/class/rtc/rtc0/name")
		h.Config.Step = configs.StepNever
	}},
	{"hardware clock", Warn, "local time", func(_ *testing.T, h *host) { h.put("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n") }},

	{"right to set", Skip, "user 1000 may not.*sudo", func(_ *testing.T, h *host) { h.refused(1000, "0000000000000000") }},
	{"right to set", Fail, "root without CAP_SYS_TIME.*--cap-add", func(_ *testing.T, h *host) { h.refused(0, "00000000a80425fb") }},
	{"right to set", Fail, "although the process has.*ProtectClock", func(_ *testing.T, h *host) { h.refused(0, "000001ffffffffff") }},
	{"right to set", Fail, "user namespace.*on the host itself", func(_ *testing.T, h *host) {
		h.refused(0, "000001ffffffffff")
		h.put("/proc/self/uid_map", "0 1000 1\n")
	}},
	{"right to set", Fail, "dry-run", func(_ *testing.T, h *host) {
		h.Open = func() (sysclock.Clock, error) { return nil, sysclock.ErrUnsupported }
	}},
	{"right to set", Fail, "administrator", func(_ *testing.T, h *host) { h.refused(-1, ""); h.System = "windows" }},
	{"right to set", Skip, "user 501", func(_ *testing.T, h *host) { h.refused(501, ""); h.System = "darwin" }},

	{"source", Warn, "hpet: .*clocksource=tsc", func(_ *testing.T, h *host) { h.counts("hpet", "hpet tsc") }},
	{"source", Warn, "jiffies: .*BIOS", func(_ *testing.T, h *host) { h.counts("jiffies", "jiffies") }},
	{"source", Skip, "does not say", func(_ *testing.T, h *host) { h.counts("", "") }},

	{"reading", Warn, "within 45µs", func(_ *testing.T, h *host) { h.clock.width = 45_000 }},
	{"reading", Fail, "ran backwards", func(_ *testing.T, h *host) { h.clock.backward = true }},

	{"kernel", Warn, "somebody keeps it", func(_ *testing.T, h *host) { h.answers("", control.ErrNoDaemon) }},
	{"kernel", Warn, "no oscillator in order", func(_ *testing.T, h *host) { h.clock.found = 480e-6 }},
	{"kernel", Warn, "will jump by -1 s", func(_ *testing.T, h *host) { h.says(sysclock.KernelState{Leap: 1}) }},
	{"kernel", Pass, "not synchronised", func(_ *testing.T, h *host) { h.says(sysclock.KernelState{}) }},
	{"kernel", Skip, "unsupported", func(_ *testing.T, h *host) {
		h.Kernel = func() (sysclock.KernelState, error) { return sysclock.KernelState{}, errors.New("unsupported") }
	}},

	{"trial", Skip, "unless asked", func(*testing.T, *host) {}},
	{"trial", Pass, `made \+87.5 and -112.5 ppm, 1.00 of what was asked, put back to -12.500 ppm`, func(_ *testing.T, h *host) { h.TryClock = true }},
	{"trial", Fail, "does not follow", func(_ *testing.T, h *host) { h.TryClock, h.clock.obeys = true, 0 }},
	{"trial", Fail, "goes the other way", func(_ *testing.T, h *host) { h.TryClock, h.clock.obeys = true, -1 }},
	{"trial", Pass, "larger value is slower", func(_ *testing.T, h *host) { h.TryClock, h.clock.obeys, h.System = true, -1, "windows" }},
	{"trial", Warn, "0.60 of what was asked.*in part", func(_ *testing.T, h *host) { h.TryClock, h.clock.obeys = true, 0.6 }},
	{"trial", Warn, "too coarse to tell", func(_ *testing.T, h *host) { h.TryClock, h.clock.noise = true, 1_000_000 }},
	{"trial", Fail, `found at -12.500 ppm and put back, but it is at -112.500 ppm`, func(_ *testing.T, h *host) { h.TryClock, h.clock.forgetful = true, true }},
	{"trial", Fail, "sandbox", func(_ *testing.T, h *host) { h.TryClock, h.clock.refuse = true, errors.New("refused") }},
	{"trial", Fail, "another program, which is not seen here.*left its way", func(_ *testing.T, h *host) { h.TryClock, h.clock.meddler = true, 7e-6 }},
	{"trial", Skip, "another meantime keeps", func(_ *testing.T, h *host) { h.borrowed(daemon.ErrClockHeld) }},
	{"trial", Skip, "not allowed", func(_ *testing.T, h *host) { h.borrowed(sysclock.ErrPermission) }},
	{"trial", Fail, "broken", func(_ *testing.T, h *host) { h.borrowed(errors.New("broken")) }},
	{"trial", Skip, "slewing the clock still, by 1ms", func(_ *testing.T, h *host) { h.TryClock = true; h.says(sysclock.KernelState{Rest: 1e6}) }},
	{"trial", Skip, "cannot be tried", func(_ *testing.T, h *host) {
		h.TryClock = true
		h.Borrow = func() (sysclock.Clock, func() error, error) { return still{h.clock}, func() error { return nil }, nil }
	}},

	{"interfaces", Fail, "eth0.*configured, but it is down >> bring it up", func(_ *testing.T, h *host) {
		h.cards[1].Use, h.cards[1].Named, h.cards[1].Why, h.cards[1].Hint = false, true, "it is down", "bring it up"
	}},
	{"interfaces", Fail, "none can be used", func(_ *testing.T, h *host) { h.cards = h.cards[:1] }},
	{"interfaces", Fail, "address: no", func(_ *testing.T, h *host) {
		h.Survey = func(udp.Config) ([]udp.Candidate, error) { return nil, errors.New("address: no") }
	}},
	{"interfaces", Skip, "veth0, veth1, veth2 and 5 more.*containers", func(_ *testing.T, h *host) {
		for i := range 8 {
			h.cards = append(h.cards, udp.Candidate{Interface: udp.Interface{Name: fmt.Sprint("veth", i)}, Why: "it leads to containers"})
		}
	}},

	{"medium", Fail, "no carrier.*cable", func(_ *testing.T, h *host) { h.put("/sys/class/net/eth0/carrier", "0\n") }},
	{"medium", Warn, "Wi-Fi", func(_ *testing.T, h *host) { h.put("/sys/class/net/eth0/wireless/status", "") }},
	{"medium", Warn, "IGMP snooping.*mcast_querier 1", func(_ *testing.T, h *host) {
		h.put("/sys/class/net/eth0/bridge/multicast_snooping", "1\n")
		h.put("/sys/class/net/eth0/bridge/multicast_querier", "0\n")
	}},
	{"medium", Pass, "this host only", func(_ *testing.T, h *host) { h.cards[0].Use = true }},

	{"neighbours", Pass, "holds 1024 hosts", func(_ *testing.T, _ *host) {}},
	{"neighbours", Skip, "not shown here", func(_ *testing.T, h *host) { delete(h.files, "proc/sys/net/ipv4/neigh/default/gc_thresh3") }},
	{"neighbours", Warn, "the LAN has 769.*gc_thresh3=3076.*gc_thresh1=1538", func(_ *testing.T, h *host) { h.members(769) }},
	{"neighbours", Pass, "holds 1024 hosts", func(_ *testing.T, h *host) { h.members(768) }},

	{"sockets", Fail, "in use >> stop it", func(_ *testing.T, h *host) { h.bind = errors.New("in use (stop it)") }},
	{"sockets", Fail, "eth1.*joining 239.255.52.5:10525 failed", func(_ *testing.T, h *host) {
		h.cards, h.unjoined = append(h.cards, udp.Candidate{Interface: udp.Interface{Name: "eth1"}, Use: true}), 1
	}},
	{"sockets", Warn, "10526 is taken", func(_ *testing.T, h *host) { h.taken = true; h.answers("", control.ErrNoDaemon) }},
	{"sockets", Pass, "10526 is the daemon's", func(_ *testing.T, h *host) { h.taken = true }},

	{"firewall", Warn, "ufw runs, and no rule.*ufw allow.*10525,10526", func(_ *testing.T, h *host) { h.put("/etc/ufw/ufw.conf", "ENABLED=yes\n") }},
	{"firewall", Pass, "ufw runs, with rules", func(_ *testing.T, h *host) {
		h.put("/etc/ufw/ufw.conf", "ENABLED=yes\n")
		h.put("/etc/ufw/user.rules", "-A ufw-user-input -p udp -m multiport --dports 10525,10526 -j ACCEPT\n")
	}},
	{"firewall", Warn, "firewalld.*--add-port=10525/udp", func(_ *testing.T, h *host) { h.put("/proc/300/comm", "firewalld\n") }},
	{"firewall", Skip, "netfilter.*nft list ruleset", func(_ *testing.T, h *host) { h.put("/sys/module/nf_tables/refcnt", "7\n") }},

	{"time stamps", Pass, `by the kernel, sent ones by the kernel; over loopback 7.6µs, jitter 600ns`, func(*testing.T, *host) {}},
	{"time stamps", Warn, "by the program, sent ones by the program.*gives none", func(_ *testing.T, h *host) { h.user = true }},
	{"time stamps", Warn, "kernel_stamps: true", func(_ *testing.T, h *host) { h.user, h.Config.KernelStamps = true, false }},
	{"time stamps", Pass, "by the program", func(_ *testing.T, h *host) { h.user, h.System = true, "freebsd" }},
	{"time stamps", Fail, "of 40 packets over loopback 37 came", func(_ *testing.T, h *host) { h.lose = 3 }},
	{"time stamps", Fail, "there is no loopback", func(_ *testing.T, h *host) { h.cards = h.cards[1:] }},

	{"multicast", Fail, "does not come back", func(_ *testing.T, h *host) { h.lose = 1 }},
	{"multicast", Fail, "no route", func(_ *testing.T, h *host) { h.loopFails = errors.New("no route") }},
	{"multicast", Skip, "macOS", func(_ *testing.T, h *host) { h.loopFails, h.System = errors.New("no route"), "darwin" }},

	{"masters heard", Pass, "10.0.0.2.*master 2222222222222222, term 3, members 5, a poll each 1s, key [0-9a-f]{8}", func(*testing.T, *host) {}},
	{"masters heard", Pass, "this host.*master 1111111111111111", func(t *testing.T, h *host) { h.hears(t, ownID, 1, "", nil) }},
	{"masters heard", Pass, "of a dry run", func(t *testing.T, h *host) {
		h.hears(t, 7, 1, "", func(p *netproto.Header) { p.Flags |= netproto.FlagDry })
	}},
	{"masters heard", Warn, "no master was heard in 3s", func(_ *testing.T, h *host) { h.lan = nil }},
	{"masters heard", Warn, "--listen 1m4s", func(_ *testing.T, h *host) { h.lan = nil; h.Config.PollMax = 32 * time.Second }},
	{"masters heard", Warn, "under key [0-9a-f]{8}, which is not held here.*copy the LAN's key", func(t *testing.T, h *host) { h.hears(t, 7, 2, "", nil) }},
	{"masters heard", Warn, "without a key", func(t *testing.T, h *host) { h.hears(t, 7, 0, "", nil) }},
	{"masters heard", Warn, "another group", func(t *testing.T, h *host) { h.hears(t, 7, 1, "cellar", nil) }},
	{"masters heard", Warn, "another version", func(_ *testing.T, h *host) { h.lan[0].Data[2]++ }},
	{"masters heard", Warn, "sealed wrongly", func(_ *testing.T, h *host) { h.lan[0].Data[len(h.lan[0].Data)-1]++ }},
	{"masters heard", Warn, "not meantime's", func(_ *testing.T, h *host) { h.lan[0].Data = []byte("hello") }},
	{"masters heard", Warn, "2 LANs with a time of their own", func(t *testing.T, h *host) {
		h.lan = append(h.lan, pollFrom(t, 9, 9, h.rings, h.Config.Group, func(p *netproto.Header) { p.Lineage = 78 }))
	}},
	{"masters heard", Skip, `10.0.0.2 \(key [0-9a-f]{8}\).*as root`, func(_ *testing.T, h *host) {
		h.Keys = func(configs.Config) (*netproto.Ring, error) { return nil, fs.ErrPermission }
	}},
	{"masters heard", Skip, "nothing was heard", func(_ *testing.T, h *host) {
		h.lan, h.Keys = nil, func(configs.Config) (*netproto.Ring, error) { return nil, daemon.ErrKeyFile }
	}},
	{"masters heard", Skip, "cannot be listened to", func(_ *testing.T, h *host) { h.bind = errors.New("no") }},
}

// TestIll: what each host lacks is said, with what to do. Every check is seen to warn or to fail.
func TestIll(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range ill {
		t.Run(tt.check+"/"+tt.says, func(t *testing.T) {
			h := newHost(t)
			tt.make(t, h)
			var got []string
			for _, f := range examine(t, h).Findings {
				text := fmt.Sprintf("%s %s >> %s", f.Subject, f.Found, f.Advice)
				if f.Check == tt.check {
					got = append(got, string(f.Verdict)+" "+text)
				}
				if f.Check == tt.check && f.Verdict == tt.verdict && regexp.MustCompile(tt.says).MatchString(text) {
					seen[tt.check] = seen[tt.check] || tt.verdict == Warn || tt.verdict == Fail
					return
				}
			}
			t.Errorf("want %s %q, got\n%s", tt.verdict, tt.says, strings.Join(got, "\n"))
		})
	}
	for _, c := range checks {
		if !seen[c.name] {
			t.Errorf("%s was not seen to warn or to fail", c.name)
		}
	}
}

// hosts are whole ones, for the goldens.
var hosts = map[string]func(*testing.T, *host){
	"server": func(_ *testing.T, h *host) { h.TryClock = true },
	"container": func(_ *testing.T, h *host) {
		h.put("/.dockerenv", "")
		h.refused(0, "00000000a80425fb")
		h.answers("", control.ErrNoDaemon)
		h.lan = nil
		for _, path := range []string{"etc/systemd/system/meantime.service", "sys/class/rtc/rtc0/name", "var/lib/meantime"} {
			delete(h.files, path)
		}
	},
	"guest": func(_ *testing.T, h *host) {
		h.guest()
		h.counts("hpet", "hpet acpi_pm")
		h.clock.width, h.user = 12_000, true
		h.put("/proc/300/comm", "vmtoolsd\n")
		h.beside("chronyd (process 7, chrony.service)")
	},
	"laptop": func(t *testing.T, h *host) {
		h.laptop()
		h.refused(1000, "0000000000000000")
		h.answers("", control.ErrForbidden)
		h.User = 1000
		h.Keys = func(configs.Config) (*netproto.Ring, error) { return nil, fs.ErrPermission }
		h.put("/sys/class/net/eth0/wireless/status", "")
		h.put("/etc/ufw/ufw.conf", "ENABLED=yes\n")
	},
	"unplugged": func(_ *testing.T, h *host) {
		h.cards = h.cards[:1]
		h.bind = &udp.InterfaceError{Problem: "no network interface is usable", Hint: "plug in the network", Err: udp.ErrMissing}
		h.answers("holdover", nil)
	},
}

// TestGolden compares whole reports with testdata.
func TestGolden(t *testing.T) {
	for name, change := range hosts {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			change(t, h)
			got := lines(examine(t, h))
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

// TestNothingIsTouched: unless asked, the clock is opened to see whether it may be, and nothing more.
func TestNothingIsTouched(t *testing.T) {
	h := newHost(t)
	h.Borrow = func() (sysclock.Clock, func() error, error) {
		t.Error("borrowed")
		return nil, nil, daemon.ErrClockHeld
	}
	h.clock.refuse = errors.New("shifted")
	before := h.clock.by
	if examine(t, h); h.clock.by != before {
		t.Error("the clock was bent")
	}
}

// TestBrokenOff: a trial that is interrupted puts the clock back, and gives it back.
func TestBrokenOff(t *testing.T) {
	h := newHost(t)
	released := false
	ctx, cancel := context.WithCancel(t.Context())
	h.TryClock = true
	h.Borrow = func() (sysclock.Clock, func() error, error) {
		return h.clock, func() error { released = true; return nil }, nil
	}
	h.Sleep = func(_ context.Context, d time.Duration) {
		h.clock.run(d)
		if h.clock.by != 0 {
			cancel()
		}
	}
	if _, err := Examine(ctx, h.Machine); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if h.clock.by != 0 || !released {
		t.Errorf("left %+.0f ppm off, given back: %v", h.clock.by*1e6, released)
	}
}

// TestMeddled: a trial that meets another writer leaves it what it has written.
func TestMeddled(t *testing.T) {
	h := newHost(t)
	h.TryClock, h.clock.meddler = true, 7e-6
	if examine(t, h); !near(h.clock.by, trialRate+7e-6) {
		t.Errorf("left %+.0f ppm off", h.clock.by*1e6)
	}
}

// TestSystems: what a system does not have is not in its report.
func TestSystems(t *testing.T) {
	for system, lacks := range map[string][]string{
		"windows": {"source", "container", "firewall", "service", "kernel"}, "darwin": {"source", "clock setters"},
		"freebsd": {"trial", "container"}, "linux": nil,
	} {
		h := newHost(t)
		h.System = system
		r := examine(t, h)
		for _, c := range checks {
			listed := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == c.name })
			if want := !slices.Contains(lacks, c.name); c.systems == nil && !listed || lacks != nil && !want && listed || system == "linux" && !listed {
				t.Errorf("%s: %s is listed: %v", system, c.name, listed)
			}
		}
	}
}

// TestTold parts errors of meantime's.
func TestTold(t *testing.T) {
	for text, want := range map[string][2]string{
		"no such file (copy it)":                {"no such file", "copy it"},
		"its mode is 0644: run `chmod 600 key`": {"its mode is 0644", "run `chmod 600 key`"},
		"not allowed; run as root, or not":      {"not allowed", "run as root, or not"},
		"broken":                                {"broken", "otherwise"},
	} {
		if problem, advice := told(errors.New(text), "otherwise"); problem != want[0] || advice != want[1] {
			t.Errorf("%s: %q, %q", text, problem, advice)
		}
	}
}

func (h *host) answers(state string, err error) {
	h.Status = func(context.Context) (control.Status, error) {
		return control.Status{ID: ownID.String(), State: state}, err
	}
}

func (h *host) beside(name string) {
	h.Rivals = func() ([]daemon.Rival, error) { return []daemon.Rival{{Name: name, Remedy: "stop chronyd"}}, nil }
}

func (h *host) guest() {
	h.put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc hypervisor sse2\n")
	h.put("/sys/class/dmi/id/sys_vendor", "QEMU\n")
	h.put("/sys/class/dmi/id/product_name", "Standard PC\n")
}

func (h *host) laptop() {
	h.put("/sys/power/state", "freeze mem disk\n")
	h.put("/sys/class/power_supply/BAT0/type", "Battery\n")
}

func (h *host) counts(source, available string) {
	h.put(sources+"current_clocksource", source+"\n")
	h.put(sources+"available_clocksource", available+"\n")
}

func (h *host) says(s sysclock.KernelState) {
	h.Kernel = func() (sysclock.KernelState, error) { return s, nil }
}

func (h *host) borrowed(err error) {
	h.TryClock = true
	h.Borrow = func() (sysclock.Clock, func() error, error) { return nil, nil, err }
}

// refused is a host whose kernel lets this user set no clock.
func (h *host) refused(user int, capabilities string) {
	h.User = user
	h.Open = func() (sysclock.Clock, error) { return nil, fmt.Errorf("adjtimex: %w", sysclock.ErrPermission) }
	h.Borrow = func() (sysclock.Clock, func() error, error) {
		return nil, nil, fmt.Errorf("adjtimex: %w; run as root", sysclock.ErrPermission)
	}
	h.put("/proc/self/status", "CapEff:\t"+capabilities+"\n")
}

// realKey is a key file of this system's, with a mode, or none.
func (h *host) realKey(t *testing.T, mode fs.FileMode) {
	h.Config.KeyFile = filepath.Join(t.TempDir(), "key")
	h.Keys = daemon.Keys
	if mode == 0 {
		return
	}
	if _, err := daemon.MakeKeys(h.Config.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.Config.KeyFile, mode); err != nil {
		t.Fatal(err)
	}
}

// hears is a host that hears one sender with a key of a number, 0 = none, of a group, "" = its own.
func (h *host) hears(t *testing.T, id netproto.ID, key byte, group string, change func(*netproto.Header)) {
	if group == "" {
		group = h.Config.Group
	}
	var r *netproto.Ring
	if key != 0 {
		r = ring(t, group, key)
	}
	h.lan = []udp.Packet{pollFrom(t, id, 4, r, group, change)}
}

// TestHere: the real machine is put together, and reads this host without a right. Nothing is sent.
func TestHere(t *testing.T) {
	m := Here(configs.Default())
	if r, err := m.Clock.Read(); err != nil || r.Raw == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if list, err := m.Survey(m.udpConfig()); err != nil || len(list) == 0 {
		t.Errorf("interfaces %v, %v", list, err)
	}
	if left, err := m.Free(t.TempDir()); err != nil || left == 0 {
		t.Errorf("free: %d, %v", left, err)
	}
	if m.Config.Address != netip.MustParseAddrPort("239.255.52.5:10525") || !m.exists("/") {
		t.Errorf("address %v, root: %v", m.Config.Address, m.exists("/"))
	}
}

// TestFlood: whatever comes in, in whatever number, the report stays one that can be read.
func TestFlood(t *testing.T) {
	for name, insecure := range map[string]bool{"keys": false, "masters": true} {
		h := newHost(t)
		if insecure {
			h.rings = nil
		}
		var flood []udp.Packet
		for i := range 300 {
			h.hears(t, netproto.ID(i+1), byte(i%250), "", func(p *netproto.Header) { p.Lineage = uint64(i) })
			if insecure {
				h.hears(t, netproto.ID(i+1), 0, "", nil)
			}
			h.lan[0].From = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)
			flood = append(flood, h.lan[0])
		}
		h.lan = flood
		said := 0
		for _, f := range examine(t, h).Findings {
			if said += count(f.Check == "masters heard"); len(f.Subject) > 100 {
				t.Errorf("%s: %s", name, f.Subject)
			}
		}
		if said < most || said > 2*most {
			t.Errorf("%s: %d lines", name, said)
		}
	}
}

// TestReadme: what the README shows is what is said.
func TestReadme(t *testing.T) {
	h := newHost(t)
	h.counts("hpet", "hpet tsc")
	h.hears(t, 7, 2, "", nil)
	var said strings.Builder
	for _, f := range examine(t, h).Findings {
		text := f.Found
		if f.Subject != "" {
			text = f.Subject + ": " + text
		}
		fmt.Fprintf(&said, "  %s  %-15s  %s\n", f.Verdict, f.Check, text)
		if f.Advice != "" {
			fmt.Fprintf(&said, "%25sdo: %s\n", "", f.Advice)
		}
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "Of some thirty lines:\n\n```\n")
	block, _, _ = strings.Cut(block, "```")
	shown := 0
	for line := range strings.Lines(block) {
		if !strings.HasPrefix(line, "  ") {
			continue // a heading
		}
		if shown++; !strings.Contains(said.String(), line) {
			t.Errorf("nobody says %q of\n%s", line, said.String())
		}
	}
	if shown < 5 {
		t.Errorf("%d lines are shown: the test looks at nothing", shown)
	}
}
