package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meantime/netproto"
)

// keyCommandOf runs a command about keys on a host and returns what it prints.
func keyCommandOf(h *lanHost, command, file string) string {
	h.bed.t.Helper()
	p := h.meantime("key", command, "--file", file)
	if code := p.wait(startLimit); code != exitOK {
		h.bed.t.Fatalf("key %s: exit code %d\n%s", command, code, p.text())
	}
	return strings.TrimSpace(p.text())
}

// copyKeys puts one host's key file in the place of another's, as a careful operator does: at once.
func copyKeys(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spread copies the first host's key file to all others, one after the other, and wakes every second node up; in between and at the
// end it leaves them time.
func (e *electorate) spread() {
	e.t.Helper()
	for i, file := range e.keys[1:] {
		time.Sleep(e.interval)
		copyKeys(e.t, e.keys[0], file)
		if i%2 == 0 {
			_ = e.nodes[i+1].cmd.Process.Signal(syscall.SIGHUP)
		}
	}
	time.Sleep(4 * time.Second) // everybody looks every 3 s
}

// rounds lists a span's polls, copies under other keys left out, and what is wrong with them: a round that is missing, late or another
// host's, and one that a slave did not answer.
func (e *electorate) rounds(from, to int64) (polls []sentPacket, wrong []string) {
	answers := map[uint32]map[int]bool{}
	for _, p := range e.tap.since(from, func(p sentPacket) bool { return p.Kind == netproto.KindReply }) {
		if answers[p.Seq] == nil {
			answers[p.Seq] = map[int]bool{}
		}
		answers[p.Seq][p.host] = true
	}
	for _, p := range e.tap.since(from, isPoll) {
		switch n := len(polls); {
		case n > 0 && p.Seq == polls[n-1].Seq && p.host == polls[n-1].host:
			continue
		case p.raw > to:
			return polls, wrong
		case n > 0 && (p.host != polls[n-1].host || p.Seq != polls[n-1].Seq+1 || e.polls(polls[n-1].raw, p.raw) > 1.5):
			wrong = append(wrong, fmt.Sprintf("round %d of %s comes %.2f intervals after round %d of %s", p.Seq, e.name(p.host),
				e.polls(polls[n-1].raw, p.raw), polls[n-1].Seq, e.name(polls[n-1].host)))
		}
		polls = append(polls, p)
		if got := len(answers[p.Seq]); got != len(e.nodes)-1 {
			wrong = append(wrong, fmt.Sprintf("round %d is answered by %d of %d", p.Seq, got, len(e.nodes)-1))
		}
	}
	return polls, wrong
}

// TestLANKeys changes the key of a running LAN of five, old to both to new, host by host, beside a sixth host that has the key of another
// LAN. No poll is missed, nobody takes over, and the clocks do not notice.
func TestLANKeys(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Minute
	takes(t, limit)
	b := enter(t, limit)
	if b == nil {
		return
	}
	var keys []string
	for i, h := range b.lan(len(voterPPM)) {
		keys = append(keys, filepath.Join(t.TempDir(), "key"))
		if i == 0 {
			keyCommandOf(h, "new", keys[0])
		} else {
			copyKeys(t, keys[0], keys[i])
		}
	}
	old := keyCommandOf(b.hosts[0], "show-id", keys[0])
	e := elect(b, newTap(b), time.Second, slices.Repeat([]string{"auto"}, len(keys)), keys...)
	e.agree(20*time.Microsecond, 40*time.Second)
	begin := rawNow(t)
	alien := filepath.Join(t.TempDir(), "key")
	keyCommandOf(b.join(), "new", alien)
	stranger := b.hosts[len(keys)].run("", "--key-file", alien)
	time.Sleep(e.calm())

	rotated := rawNow(t)
	keyCommandOf(b.hosts[0], "rotate", keys[0])
	e.spread()
	e.nodes[e.master().host].says("all members hold the newest key: sending under it; older ones can be taken away", 1, 5*time.Second)
	time.Sleep(2 * e.interval)
	keyCommandOf(b.hosts[0], "retire", keys[0])
	e.spread()
	time.Sleep(2 * e.interval)
	end := rawNow(t)
	newest := keyCommandOf(b.hosts[0], "show-id", keys[0])
	time.Sleep(e.calm())

	polls, wrong := e.rounds(begin, rawNow(t)-int64(e.interval))
	complain(t, wrong)
	first, latest := netproto.KeyName(polls[0].KeyID), netproto.KeyName(polls[len(polls)-1].KeyID)
	t.Logf("%d polls of %s in %.1f s, %d faults: key %s, then %s", len(polls), e.name(polls[0].host), e.polls(begin, rawNow(t)), len(wrong),
		first, latest)
	if first != old || latest != newest || old == newest {
		t.Errorf("polls were sealed with key %s, then %s; the key files had %s, then %s", first, latest, old, newest)
	}
	if elections := e.tap.since(begin, func(p sentPacket) bool {
		return p.Kind == netproto.KindCandidate || p.Kind == netproto.KindClaim || p.Kind == netproto.KindResign
	}); len(elections) != 0 {
		t.Errorf("%d packets of elections", len(elections))
	}
	all := e.moments()
	before, during, after := all.between(begin, rotated).figures(), all.between(rotated, end).figures(), all.between(end, rawNow(t)).figures()
	t.Logf("before: %v; while the keys change, %.1f s: %v; after: %v; ratio of medians %.2f", before, float64(end-rotated)/1e9, during, after,
		float64(during.median)/float64(max(1, before.median)))
	if during.median > apartNoise && during.median > 3*before.median {
		t.Error("the clocks have noticed")
	}
	e.outside(stranger)
	complain(t, e.straight())
	e.stop()
	stopAll(t, stranger)
}

// outside checks that the stranger has stayed alone, and that both sides were told why.
func (e *electorate) outside(stranger *process) {
	e.t.Helper()
	const why = "packets are sealed with a key that this node does not hold: compare `meantime key show-id` on both hosts, which need the same " +
		"key file if they are one LAN, and another group if not"
	followed, told := len(stranger.entries("following a master")), len(stranger.entries(why))
	e.t.Logf("%s, whose key is another: followed %d masters, was told %d times why not", stranger.host.name, followed, told)
	if followed != 0 || told == 0 || told > len(e.nodes) {
		e.t.Errorf("the stranger followed %d masters and is told %d times why\n%s", followed, told, stranger.text())
	}
	for i, n := range e.nodes {
		if heard := len(n.entries(why)); heard != 1 {
			e.t.Errorf("%s speaks %d times of the stranger", e.name(i), heard)
		}
	}
}
