package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	// subnet holds the guests: node n is subnet.n. It exists in the bed's namespace and in the guests only.
	subnet = "10.52.5."

	// stateDir and driftFile are where the daemons remember things: on a guest's own file system, which lasts as long as
	// the guest, and so longer than a daemon that is killed.
	stateDir  = "/run/meantime"
	driftFile = "/run/chrony.drift"

	// controlSocket is where meantime listens by default.
	controlSocket = "/run/meantime/socket"

	// Strata that a chrony LAN without a reference serves: of `chrony` its first node, of `chrony-orphan` whoever leads.
	localStratum, orphanStratum = 8, 10
)

// isChrony says that a program is a chronyd.
func isChrony(program string) bool { return program == programChrony || program == programOrphan }

// isMeantime says that a program is this repository's daemon.
func isMeantime(program string) bool { return program == programMeantime || program == programPhase }

// daemonConf is the configuration file of node's daemon; empty for programs without one.
func daemonConf(p *Plan, node int) string {
	switch p.Program {
	case programMeantime, programPhase:
		return meantimeConf(p, node)
	case programChrony, programOrphan:
		return chronyConf(p, node)
	}
	return ""
}

// meantimeConf is what an installation has, but for the key: every node may be master.
func meantimeConf(p *Plan, node int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "role: auto\ninsecure: true\ninterfaces: [vec0]\nstate_dir: %s\npoll: %v\n", stateDir, p.Poll)
	if p.Program == programPhase {
		// The textbook's algorithm: each delta goes into the clock's phase, nothing into its rate.
		b.WriteString("servo: phase-only\n")
	}
	for _, line := range p.lines(node) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// chronyConf is what somebody who knows chrony would write for the best figures on a quiet LAN of its own. Each line says why.
func chronyConf(p *Plan, node int) string {
	var b strings.Builder
	line := func(why, format string, args ...any) {
		fmt.Fprintf(&b, "# %s\n"+format+"\n", append([]any{why}, args...)...)
	}
	poll := int(math.Round(math.Log2(p.Poll.Seconds())))
	// Interleaved mode sends the exact transmit stamp of a packet in the one after it; iburst fills the first fit at once.
	source := fmt.Sprintf("minpoll %d maxpoll %d iburst xleave", poll, poll)
	if p.Program == programChrony {
		if node == 1 {
			line("the one clock that all follow", "local stratum %d", localStratum)
		} else {
			line("the same poll interval as its rivals; exact transmit stamps; a quick start", "server %s1 %s", subnet, source)
		}
	} else {
		for other := 1; other <= p.Count; other++ {
			if other != node {
				line("every other host, as orphan mode needs; poll, stamps and start as its rivals", "server %s%d %s", subnet, other, source)
			}
		}
		line("without a reference one of them leads, and another when it is gone", "local stratum %d orphan", orphanStratum)
	}
	line("serve all hosts of the LAN", "allow %s0/24", subnet)
	line("the clocks start far apart: set them once, as the rivals may", "makestep 0.001 3")
	line("stamps of the network card where it has any; this bed's has none, and chronyd goes on without", "hwtimestamp *")
	line("tell the kernel that the clock is synchronised, and how well", "rtcsync")
	line("remember the frequency over a restart", "driftfile %s", driftFile)
	line("run before ordinary work, so that a stamp is not late", "sched_priority 1")
	line("nobody asks it anything here", "cmdport 0\nbindcmdaddress /")
	line("a place that can be written", "pidfile /run/chronyd.pid")
	for _, text := range p.lines(node) {
		b.WriteString(text + "\n")
	}
	return b.String()
}

// checkPoll refuses an interval that a rival cannot be given.
func checkPoll(program string, poll time.Duration) error {
	if power := math.Log2(poll.Seconds()); isChrony(program) && power != math.Trunc(power) {
		return fmt.Errorf("--poll %v: chronyd polls at powers of two of a second, such as 500ms, 1s, 2s", poll)
	}
	return nil
}
