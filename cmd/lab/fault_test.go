package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFaultsParse(t *testing.T) {
	plan, err := parse(t, "--for", "120s", "--kill", "master@60s", "--kill", "3@30s+5s", "--faults", "step:2.4@10s~-10s,freeze:all@90s+20s")
	if err != nil {
		t.Fatal(err)
	}
	if want := "step:2.4@10s~-10s,kill:3@30s+5s,kill:master@1m0s,freeze:all@1m30s+20s"; plan.Faults != want || plan.faults().String() != want {
		t.Errorf("got %s, then %s; want %s", plan.Faults, plan.faults(), want)
	}
	for _, c := range []struct{ args, want string }{
		{"--faults kill:2", "when?"},
		{"--faults kill@60s", "whom?"},
		{"--faults kill:0@60s", "the nodes are 1 to 4"},
		{"--faults kill:5@60s", "the nodes are 1 to 4"},
		{"--faults kill:2@90s", "the run lasts"},
		{"--faults kill:2@0s", "the run lasts"},
		{"--faults kill:2@10s+-5s", "negative"},
		{"--faults kill:2@10s~5s", "amount"},
		{"--faults step:2@10s", "by how much"},
		{"--faults step:2@10s+3s~5s", "by how much"},
		{"--faults set-time:2@10s", "by how much"},
		{"--faults set-time:2@10s+3s~1s", "by how much"},
		{"--faults set-time:all@10s~1s", "one operator"},
		{"--faults set-time:1.2@10s~1s", "one operator"},
		{"--program chrony --faults set-time:2@10s~1s", "only meantime"},
		{"--faults freeze:2@10s", "how long?"},
		{"--faults power:2@10s", "how long?"},
		{"--faults cut:2@10s", "how long?"},
		{"--faults suspend:2@10s+5s", "real kernels know"},
		{"--faults explode:2@10s", "no such fault"},
		{"--kill 2", "when?"},
		{"--program none --kill 2@10s", "no daemon"},
		{"--wander -1", "--wander"},
		{"--wander 2ppm", "--wander"},
		{"--wander wild", "wild"},
		{"--poll 100ms", "--poll"},
		{"--program chrony --poll 3s", "powers of two"},
		{"--set poll", "a colon"},
		{"--set none:poll", "a colon"},
		{"--set meantime.5:poll", "1 to 4"},
		{"--set meantime.:poll", "1 to 4"},
	} {
		if _, err := parse(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.args, err, c.want)
		}
	}
}

func TestAgenda(t *testing.T) {
	plan, err := parse(t, "--faults", "kill:master.2@10s+3s,step:all@11s~1s,kill:1@12s")
	if err != nil {
		t.Fatal(err)
	}
	a := agenda{count: 3, faults: plan.faults()}
	asked := 0
	master := func() int { asked++; return 2 + asked }
	var got []string
	for now := time.Duration(0); now < 20*time.Second; now += 500 * time.Millisecond {
		for _, d := range a.due(now, master) {
			got = append(got, fmt.Sprintf("%v %d %s %d %v", now, d.Fault, d.Verb, d.Node, d.Amount))
		}
	}
	want := []string{
		"10s 0 kill 2 0s", "10s 0 kill 3 0s",
		"11s 1 step 1 1s", "11s 1 step 2 1s", "11s 1 step 3 1s",
		"12s 2 kill 1 0s",
		// Whoever was killed starts again, whoever leads by then.
		"13s 0 start 2 0s", "13s 0 start 3 0s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if asked != 1 {
		t.Errorf("the master was looked up %d times, want once", asked)
	}
}
