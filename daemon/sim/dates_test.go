package sim

import (
	"testing"
	"time"

	"meantime/daemon/node"
)

// An order is given by a master that is cut off, and its LAN goes on under another: once the cable is back it is brought over like
// anybody, and does not wait for its order anew.
func TestAnOrderThatTheLANNeverHeardOf(t *testing.T) {
	for name, policy := range map[string]node.StepPolicy{"step": node.StepAlways, "slew": node.StepBoot} {
		p := set(10*time.Minute, "cut:0@119s+60s,set-time:0@120s~500ms", policy)(1)
		p.Members[0].Role = node.RoleMaster
		w := start(t, p)
		run(t, w, p.For)
		steps := 0
		for _, h := range w.Hosts() {
			steps += len(h.Steps)
		}
		s := w.Hosts()[0].Node.Status()
		if steps > 10 || s.Residual.Abs() > time.Millisecond || s.Standing.String() != "voter" {
			t.Errorf("%s: clocks were stepped %d times; its own has %v to go and is a %v", name, steps, s.Residual, s.Standing)
		}
	}
}
