package doctor

import (
	"context"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"meantime/configs"
)

// checkRivals looks for other programs that set this clock.
func checkRivals(_ context.Context, m *Machine) (list []Finding) {
	rivals, err := m.Rivals()
	if err != nil {
		list = append(list, skip("run it as root", "not to be seen: %v", err))
	}
	for _, r := range rivals {
		if m.Config.Beside {
			list = append(list, warn("see that it leaves the clock alone, as beside: true says", "%s runs", r.Name))
			continue
		}
		list = append(list, fail(r.Remedy+"; two that steer one clock fight", "%s sets this clock", r.Name))
	}
	if list == nil {
		list = append(list, pass("none runs"))
	}
	return list
}

// setters are programs that set the clock once and end.
var setters = regexp.MustCompile(`\b(ntpdate|ntpdate-debian|rdate|sntp|htpdate|tlsdate|chronyd +-[qQ]|ntpd +-[a-zA-Z]*q|` +
	`hwclock +(-s|--hctosys)|date +(-s|--set))\b`)

// tables are where such programs are started from time to time, or when a network comes up.
var tables = []string{
	"/etc/crontab", "/etc/cron.d/*", "/etc/cron.hourly/*", "/etc/cron.daily/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/root",
	"/etc/network/if-up.d/*", "/etc/dhcp/dhclient-exit-hooks.d/*", "/etc/NetworkManager/dispatcher.d/*", "/lib/systemd/system-sleep/*",
	"/usr/local/etc/cron.d/*",
}

// checkSetters looks for what sets the clock now and then: a rival that no list of processes shows.
func checkSetters(_ context.Context, m *Machine) (list []Finding) {
	for _, pattern := range tables {
		for _, file := range m.glob(pattern) {
			for line := range strings.Lines(m.text(file)) {
				line = strings.TrimSpace(line)
				if found := setters.FindString(line); found != "" && !strings.HasPrefix(line, "#") {
					list = append(list, warn("take it out of there: it steps the clock under meantime's hands", "/%s runs %s", file, found))
					break
				}
			}
		}
	}
	if list == nil {
		return []Finding{pass("none in cron or where networks come up")}
	}
	return list
}

// checkContainer looks whether this is one. Its clock is its host's.
func checkContainer(_ context.Context, m *Machine) []Finding {
	kind := ""
	switch {
	case m.exists("/.dockerenv"):
		kind = "docker"
	case m.exists("/run/.containerenv"):
		kind = "podman"
	case m.text("/run/systemd/container") != "":
		kind = m.text("/run/systemd/container")
	case m.inUserNamespace():
		kind = "user namespace"
	default:
		groups := m.text("/proc/1/cgroup")
		for _, name := range []string{"docker", "kubepods", "lxc", "libpod", "containerd"} {
			if strings.Contains(groups, name) {
				kind = name
			}
		}
	}
	if kind == "" {
		return []Finding{pass("none")}
	}
	return []Finding{warn("run meantime on the host, once: all its containers share the host's clock", "this is one (%s)", kind)}
}

// guestTools are processes that set a guest's clock by its host's, and how they are told not to.
var guestTools = map[string]string{
	"vmtoolsd":    "`vmware-toolbox-cmd timesync disable`",
	"VBoxService": "start VBoxService with --disable-timesync",
	"prltoolsd":   "switch time synchronisation off in the settings of the virtual machine",
	"xe-daemon":   "see that it leaves the clock alone",
}

// checkVirtual looks whether the machine is one, and what sets its clock from outside.
func checkVirtual(_ context.Context, m *Machine) []Finding {
	maker := strings.TrimSpace(m.text("/sys/class/dmi/id/sys_vendor") + " " + m.text("/sys/class/dmi/id/product_name"))
	virtual := false
	for line := range strings.Lines(m.text("/proc/cpuinfo")) {
		name, words, _ := strings.Cut(line, ":")
		virtual = virtual || strings.TrimSpace(name) == "flags" && strings.Contains(" "+strings.TrimSpace(words)+" ", " hypervisor ") ||
			strings.Contains(words, "User Mode Linux")
	}
	if !virtual {
		return []Finding{pass("none seen")}
	}
	list := []Finding{pass("this is one (%s): after a pause it takes LAN time again", orElse(maker, "of an unknown maker"))}
	for _, name := range slices.Sorted(maps.Keys(guestTools)) {
		if m.running(name) {
			list = append(list, warn(guestTools[name], "%s may set this clock by the host's", name))
		}
	}
	for _, clock := range m.glob("/sys/class/ptp/*/clock_name") {
		if name := m.text(clock); name == "hyperv" || strings.HasPrefix(name, "KVM") {
			list = append(list, pass("the host's clock is offered as /dev/%s (%s); meantime does not use it", path.Base(path.Dir(clock)), name))
		}
	}
	if source := m.text(sources + "current_clocksource"); slowSources[source] != "" {
		list = append(list, warn("let the hypervisor offer its own clock or a steady tsc", "its clock source is %s", source))
	}
	return list
}

// checkSuspend looks whether the machine sleeps.
func checkSuspend(_ context.Context, m *Machine) []Finding {
	states := m.text("/sys/power/state")
	if !strings.Contains(states, "mem") && !strings.Contains(states, "freeze") {
		return []Finding{pass("not possible here")}
	}
	battery := ""
	for _, kind := range m.glob("/sys/class/power_supply/*/type") {
		if m.text(kind) == "Battery" {
			battery = path.Base(path.Dir(kind))
		}
	}
	masked := m.masked("suspend.target") && m.masked("sleep.target")
	if battery == "" || masked {
		return []Finding{pass("possible (%s); after it the clock is brought back to LAN time", states)}
	}
	return []Finding{warn("a host that shall not miss the LAN must not sleep: `systemctl mask sleep.target suspend.target`; after sleep the "+
		"clock is brought back to LAN time", "runs on a battery (%s) and may sleep", battery)}
}

// masked says whether systemd may not start a unit: it is linked to /dev/null, which is no regular file and no folder.
func (m *Machine) masked(unit string) bool {
	info, err := fs.Stat(m.Root, "etc/systemd/system/"+unit)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// checkHardwareClock looks at what tells the time at boot, before the LAN does.
func checkHardwareClock(_ context.Context, m *Machine) []Finding {
	clocks := len(m.glob("/sys/class/rtc/rtc*"))
	if clocks == 0 {
		advice := "the first synchronisation after a boot has to step: keep step: boot"
		if m.Config.Step == configs.StepNever {
			advice = "step: never would slew for years after a boot: write step: boot"
		}
		return []Finding{warn(advice, "none: after a boot the clock shows a wrong date until the LAN is heard")}
	}
	if lines := strings.Split(m.text("/etc/adjtime"), "\n"); len(lines) > 2 && strings.TrimSpace(lines[2]) == "LOCAL" {
		return []Finding{warn("`timedatectl set-local-rtc 0`", "it runs in local time, so that a boot around a change to or from summer time is "+
			"wrong by an hour")}
	}
	return []Finding{pass("%d, in UTC", clocks)}
}
