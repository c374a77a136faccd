package sim

import (
	"strings"
	"testing"
	"time"
)

func TestOptionsThatCannotBe(t *testing.T) {
	for flag, spoil := range map[string]func(o *Options){
		"--nodes":       func(o *Options) { o.Nodes = 0 },
		"--drift":       func(o *Options) { o.Drift = 1000 },
		"--wander":      func(o *Options) { o.Wander = -1 },
		"--temperature": func(o *Options) { o.Temperature = -1 },
		"--period":      func(o *Options) { o.Temperature, o.Period = 1, 0 },
		"--apart":       func(o *Options) { o.Apart = -1 },
		"--delay":       func(o *Options) { o.Delay = time.Hour },
		"--jitter":      func(o *Options) { o.Jitter = -time.Second },
		"--asymmetry":   func(o *Options) { o.Asymmetry = time.Minute },
		"--loss":        func(o *Options) { o.Loss = 1 },
		"--duplicate":   func(o *Options) { o.Duplicate = 2 },
		"--reorder":     func(o *Options) { o.Reorder = -0.1 },
		"--latency":     func(o *Options) { o.Latency = time.Minute },
		"--poll":        func(o *Options) { o.Poll = 0 },
		"--max-slew":    func(o *Options) { o.MaxSlew = 0 },
		"--for":         func(o *Options) { o.For = 0 },
		"--shape":       func(o *Options) { o.Shape = 9 },
		"--faults":      func(o *Options) { o.Faults = []Fault{{Kind: Kill, Hosts: []int{99}, At: time.Second}} },
	} {
		o := Default()
		spoil(&o)
		err := o.Check()
		if err == nil || !strings.Contains(err.Error(), flag) || strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("%s: %v, want one line that names it", flag, err)
		}
		if _, runErr := Run(o, nil); runErr == nil {
			t.Errorf("%s: the run went ahead", flag)
		}
	}
	if err := Default().Check(); err != nil {
		t.Error(err)
	}
}

// Options written down give the same run again.
func TestOptionsAreWrittenAsFlags(t *testing.T) {
	o := Default()
	o.Faults, _ = ParseFaults("kill:master@60s+10s")
	for _, want := range []string{"--nodes 5", "--drift 50", "--poll 1s", "--for 10m0s", "--faults 'kill:master@1m0s+10s'", "--seed 1"} {
		if !strings.Contains(o.String(), want) {
			t.Errorf("%q lacks %q", o, want)
		}
	}
}

func TestFaultsAreReadAsWritten(t *testing.T) {
	const all = "kill:master@1m0s+10s,stop:0@1s,wipe:0.1@1s+1s,power:all@2s+5s~30s,freeze:2@3s+1.5s," +
		"vmpause:1@1s+10ms,suspend:1@1s+1m0s~20ms,step:1@1s~-20ms,partition:0.1@1s+1m0s,cut:3@1s+1s,deaf:3@1s+1s,mute:3@1s+1s,flap:2@1m0s+1m0s~3s,lossy@1s+1s~30%," +
		"delay:1@1s+1s~200µs,attack@1s+1s~1000/s,replay@1s~0.5/s,set-time:1@1s~-1m30s"
	faults, err := ParseFaults(all)
	if err != nil {
		t.Fatal(err)
	}
	if got := Faults(faults).String(); got != all {
		t.Errorf("read and written again:\n%s\nwant\n%s", got, all)
	}
	if len(faults) != int(kinds) {
		t.Errorf("%d faults of %d kinds", len(faults), kinds)
	}
	for _, f := range faults {
		if err := f.check(4, time.Hour); err != nil {
			t.Errorf("%v: %v", f, err)
		}
	}
}

func TestFaultsThatCannotBe(t *testing.T) {
	for _, text := range []string{
		"kill", "kill:0", "boom:0@1s", "kill:x@1s", "kill:-3@1s", "kill:0@soon", "kill:0@1s+x", "step:0@1s~x", "lossy@1s+1s~x%",
		"attack@1s~x/s",
	} {
		if _, err := ParseFaults(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want an error that shows it", text, err)
		}
	}
	for _, text := range []string{
		"kill@1s", "kill:7@1s", "kill:0@2h", "power:0@1s", "freeze:0@1s", "step:0@1s", "flap:0@1s+1s",
		"lossy@1s+1s", "lossy@1s+1s~100%", "kill:0@-1s",
		"attack@1s", "replay@1s~0/s", "attack@1s~1e9/s", "delay@1s~1ms", "delay:0@1s", "delay:0@1s~1h",
	} {
		faults, err := ParseFaults(text)
		if err != nil {
			t.Fatal(err)
		}
		if faults[0].check(4, time.Hour) == nil {
			t.Errorf("%q passed", text)
		}
	}
}
