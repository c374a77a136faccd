package udp

import (
	"net"
	"slices"
)

// Candidate is one of the host's interfaces, and what Listen would do with it.
type Candidate struct {
	Interface
	Use   bool
	Named bool   // by the configuration
	Why   string // it is not used
	Hint  string // what to do about that, "" = nothing
}

// Survey looks at all of the host's interfaces as Listen would, and opens nothing.
func Survey(cfg Config) ([]Candidate, error) {
	g, err := parseGroup(cfg.Group)
	if err != nil {
		return nil, err
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	host, err := hostInterfaces(names)
	if err != nil {
		return nil, err
	}
	_, problems := g.choose(cfg.Interfaces, host)
	return g.survey(cfg.Interfaces, host, problems), nil
}

// survey is Survey of a host. Named interfaces that it does not have come last.
func (g group) survey(names []string, host []hostInterface, problems []*InterfaceError) (list []Candidate) {
	for _, h := range host {
		c := Candidate{Interface: h.Interface, Named: slices.Contains(names, h.Name)}
		problem := g.check(h.Interface, h.flags)
		switch {
		case len(names) > 0 && !c.Named:
			c.Why = "others are named"
		case !c.Named && h.Loopback:
			c.Why = "loopback"
		case !c.Named && h.flags&net.FlagPointToPoint != 0:
			c.Why = "a tunnel"
		case !c.Named && virtual(h.Name):
			c.Why = "it leads to containers or virtual machines of this host"
		case problem != nil:
			c.Why, c.Hint = problem.Problem, problem.Hint
		default:
			c.Use = true
		}
		list = append(list, c)
	}
	for _, p := range problems {
		if !slices.ContainsFunc(host, func(h hostInterface) bool { return h.Name == p.Name }) && p.Name != "" {
			list = append(list, Candidate{Interface: Interface{Name: p.Name}, Named: true, Why: p.Problem, Hint: p.Hint})
		}
	}
	return list
}
