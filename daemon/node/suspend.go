package node

// suspended begins anew after a sleep of the machine. The oscillator stood still for a time that nobody measured, so the timescale knows
// nothing any more: the clock that the operating system set when it woke is the best guess. The node has no vote, and where
// the policy is to step at boot it may step once more. A master gives up office without a word: the others have
// chosen another long ago, or will.
func (n *Node) suspended(s Suspended) {
	n.note(Warn, "the machine slept: history dropped, joining anew", Attr{"for", s.For})
	n.startled()
	n.servo.Restart(n.at.Raw, n.clock.wall(n.at.Raw))
	n.standing, n.rotation = 0, rotation{}
	n.together, n.mayStep, n.wait = false, true, wait{}
	if n.synced { // what the system says of its clock must not be what was true before
		n.steer()
	}
	n.steerAt = never
	if n.lead != nil {
		n.lead = nil
		n.follow = n.newFollower(n.cfg.Role == RoleMaster)
		return
	}
	n.follow.watch.Heard(n.at.Now, n.cfg.Interval)
}
