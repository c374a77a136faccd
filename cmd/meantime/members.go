package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meantime/daemon/control"
)

func newMembersCommand(out *ui) *cobra.Command {
	oddOnly := false
	return question[control.Members]{
		use: "members", short: "Show each member of the LAN: its offset, whether it votes, and why not",
		long: `Show each member of the LAN: its offset, whether it votes, and why not. This host comes first, the others follow in the
order of their addresses; what is odd is told beside or below its line, and the last line counts.

Only the master measures all of them. Elsewhere this shows the host itself and where the master is.

The columns: offset of the member's clock from LAN time, and by how much the measurement may be wrong (bound); how long packets are under
way, there and back (delay); by how much what is measured usually changes from one round to the next (jitter); the correction of the
member's oscillator (frequency, ppm); how long ago it was heard. A narrow screen shows fewer columns, the most important ones.`,
		example: "  meantime members\n  meantime members --odd --watch\n  meantime members --json | jq '.members[] | select(.votes == false)'",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&oddOnly, "odd", false, "only those that do not vote")
		},
		ask: func(c *control.Client, ctx context.Context) (control.Members, error) {
			m, err := c.Members(ctx)
			if oddOnly {
				m.Members = odd(m.Members)
			}
			return m, err
		},
		show: func(m control.Members, on screen) string { return showMembers(m, on, oddOnly) },
	}.command(out)
}

// odd are the members that do not vote, of those that anything is known of, in order.
func odd(members []control.Member) []control.Member {
	part := []control.Member{}
	for _, m := range members {
		if m.Votes != nil && !*m.Votes {
			part = append(part, m)
		}
	}
	slices.SortStableFunc(part, inOrder)
	return part
}

// memberColumns are what is told of a member. Who it is, its offset and its vote are on every screen.
var memberColumns = []column{
	{"member", 0}, {"id", 8}, {"address", 5}, {"offset", 0}, {"bound", 3}, {"delay", 6}, {"jitter", 4}, {"frequency", 7}, {"heard", 2},
	{"votes", 0},
}

// idColumn is where the id is.
const idColumn = 1

// nameWidth is how much of a name a table shows where the screen has an end: half of the longest that a system gives.
const nameWidth = 32

// showMembers is a table of the members, and what they come to.
func showMembers(a control.Members, on screen, oddOnly bool) string {
	members := slices.SortedStableFunc(slices.Values(a.Members), inOrder)
	columns := slices.Clone(memberColumns)
	anyName := slices.ContainsFunc(members, func(m control.Member) bool { return m.Name != "" })
	if !anyName {
		columns = slices.Delete(columns, idColumn, idColumn+1)
	}
	rows := make([]row, len(members))
	for i, m := range members {
		rows[i] = memberRow(m, on)
		if !anyName {
			rows[i].cells = slices.Delete(rows[i].cells, idColumn, idColumn+1)
		}
	}
	var text strings.Builder
	if len(rows) > 0 {
		text.WriteString(on.table(columns, "remarks", rows))
	}
	for _, line := range on.wrap(total(a, oddOnly), hanging) {
		text.WriteString(line + "\n")
	}
	return text.String()
}

// inOrder puts this host first, and the others in the order of their addresses.
func inOrder(a, b control.Member) int {
	if a.Self != b.Self {
		return map[bool]int{true: -1, false: 1}[a.Self]
	}
	at, bt := address(a), address(b)
	return cmp.Or(at.Compare(bt), cmp.Compare(a.ID, b.ID))
}

func address(m control.Member) netip.AddrPort {
	at, _ := netip.ParseAddrPort(m.Address) // what has none comes first
	return at
}

// memberRow is what is known of a member.
func memberRow(m control.Member, on screen) row {
	frequency := unknownValue
	if m.Frequency != nil {
		frequency = fmt.Sprintf("%+.3f", *m.Frequency)
	}
	who := label(m.Name, m.ID)
	if on.width > 0 && utf8.RuneCountInString(who) > nameWidth {
		who = string([]rune(who)[:nameWidth-1]) + "…"
	}
	id := m.ID
	if m.Name == "" {
		id = "" // it stands there already
	}
	r := row{cells: []string{
		who, id, cmp.Or(m.Address, unknownValue), short(m.Offset), short(m.Bound), short(m.Delay), short(m.Jitter), frequency,
		short(m.Heard), voteWord(m),
	}}
	var remarks []string
	if m.Self {
		remarks = append(remarks, "this host")
	}
	if m.Master {
		remarks = append(remarks, "master")
	}
	switch {
	case m.Votes != nil && !*m.Votes:
		r.mood, remarks = oddly, append(remarks, m.Why)
	case m.Votes == nil && m.Standing != "" && m.Standing != "voter":
		r.mood, remarks = oddly, append(remarks, m.Standing)
	}
	r.remark = strings.Join(remarks, ", ")
	return r
}

// voteWord says whether a member votes: where it was not asked, what it last heard of itself.
func voteWord(m control.Member) string {
	switch {
	case m.Votes != nil && *m.Votes, m.Votes == nil && m.Standing == "voter":
		return "yes"
	case m.Votes == nil && m.Standing == "":
		return unknownValue
	}
	return "no"
}

// total is what the members come to.
func total(a control.Members, oddOnly bool) string {
	switch {
	case !a.Complete && a.Master != "":
		return "The master alone measures all: ask on " + a.Master + "."
	case !a.Complete:
		return "No master is known."
	case oddOnly && len(a.Members) == 0:
		return "Every member votes."
	}
	var voting []control.Seconds
	whyNot := map[string]int{}
	voters := 0
	for _, m := range a.Members {
		if m.Votes == nil || !*m.Votes {
			whyNot[m.Why]++
			continue
		}
		if voters++; m.Offset != nil {
			voting = append(voting, *m.Offset)
		}
	}
	text := count(len(a.Members), "member")
	if !oddOnly {
		text += fmt.Sprintf(", %d of them %s", voters, verb(voters, "votes", "vote"))
	}
	if len(voting) > 1 {
		text += ", within " + short(new(slices.Max(voting)-slices.Min(voting))) + " of each other"
	}
	return text + words("; ", reasons(whyNot)) + "."
}

// reasons counts why members do not vote, the most frequent first.
func reasons(whyNot map[string]int) string {
	var all []string
	for why := range whyNot {
		all = append(all, why)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(whyNot[b], whyNot[a]), cmp.Compare(a, b)) })
	for i, why := range all {
		all[i] = fmt.Sprintf("%d %s not: %s", whyNot[why], verb(whyNot[why], "does", "do"), cmp.Or(why, "not judged yet"))
	}
	return strings.Join(all, "; ")
}
