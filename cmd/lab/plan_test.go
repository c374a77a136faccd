package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// parse gives flags to `lab run` without running it and returns the plan.
func parse(t *testing.T, args ...string) (Plan, error) {
	t.Helper()
	plan, f := Plan{}, &runFlags{}
	cmd := newRun()
	cmd.ResetFlags()
	f.register(cmd.Flags(), &plan)
	if err := cmd.ParseFlags(args); err != nil {
		return plan, err
	}
	plan.Command = cmd.Flags().Args()
	return plan, f.complete(&plan, cmd.Flags().Changed)
}

func TestPlanDefaults(t *testing.T) {
	plan, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Program != programMeantime || len(plan.Nodes) != 4 || plan.For != 90*time.Second || plan.Settle != 30*time.Second {
		t.Errorf("got %+v", plan)
	}
	if plan.Nodes[1] != (NodePlan{-35, 200 * time.Millisecond}) || plan.within() != time.Millisecond {
		t.Errorf("got %+v within %v", plan.Nodes, plan.within())
	}
	plan, err = parse(t, "--nodes", "6")
	if err != nil || len(plan.Nodes) != 6 || plan.Nodes[5] != (NodePlan{-35, time.Second}) {
		t.Errorf("6 nodes: %+v, %v", plan.Nodes, err)
	}
}

func TestPlanFlags(t *testing.T) {
	plan, err := parse(t, "--program", "none", "--nodes", "2", "--ppm", "-1.5,+2", "--offset", "-1s,3ms", "--for", "12s",
		"--expect-within", "2ms", "--expect-by", "5s", "--expect-rate", "5ppm")
	if err != nil {
		t.Fatal(err)
	}
	if plan.Nodes[0] != (NodePlan{-1.5, -time.Second}) || plan.Nodes[1] != (NodePlan{2, 3 * time.Millisecond}) {
		t.Errorf("nodes %+v", plan.Nodes)
	}
	if plan.Settle != 0 || plan.Within != 2*time.Millisecond || plan.By != 5*time.Second || plan.Rate != 5 {
		t.Errorf("got %+v", plan)
	}
	plan, err = parse(t, "--program", "sysclock-test")
	if err != nil || plan.Count != 1 || plan.Settle != 0 || !plan.untilExit() {
		t.Errorf("sysclock-test: %+v, %v", plan, err)
	}
	plan, err = parse(t, "--program", "exec", "--", "/bin/x", "-y")
	if err != nil || len(plan.Command) != 2 {
		t.Errorf("exec: %+v, %v", plan, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"--program ntpd", "ntpd"},
		{"--program exec", "needs a command"},
		{"--program none -- /bin/x", "belongs to --program exec"},
		{"--nodes 0", "1 to 16"},
		{"--nodes 17", "1 to 16"},
		{"--nodes 3 --ppm 1,2", "2 oscillators for 3"},
		{"--nodes 3 --offset 1s,2s", "2 offsets for 3"},
		{"--nodes 1 --ppm NaN", "±10000"},
		{"--nodes 1 --ppm 10001", "±10000"},
		{"--nodes 1 --ppm fast", "fast"},
		{"--nodes 1 --offset 5", "5"},
		{"--for 0s", "--for"},
		{"--for 25h", "--for"},
		{"--for 20s", "--settle 30s"},
		{"--settle -1s", "--settle"},
		{"--expect-within -1ms", "negative"},
		{"--expect-within 1ms --expect-by 91s", "after the end"},
		{"--expect-rate much", "much"},
		{"--expect-rate NaN", "NaN"},
		{"--keep " + full, "not empty"},
	} {
		if _, err := parse(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.args, err, c.want)
		}
	}
}
