package netproto

// ID names a node for as long as its state directory lives: 64 random bits, never zero.
type ID uint64

// Stamp is an instant on the sender's timescale in nanoseconds since the Unix epoch (UTC without leap
// seconds, as CLOCK_REALTIME counts). It is the one wall-time type above sysclock.
type Stamp int64

// Rate is a fractional frequency in units of 10^-15: 1 ppm is 1e9. The int64 spans ±9,223 s/s, so no sum
// of corrections overflows it, and rounding stays far below what any oscillator shows.
type Rate int64

// Nonce is a single-use random number; zero means none.
type Nonce uint64

// Kind is the type of a packet.
type Kind uint8

// The kinds of version 1.
const (
	KindPoll      Kind = 1
	KindReply     Kind = 2
	KindAck       Kind = 3
	KindAdjust    Kind = 4
	KindCandidate Kind = 5
	KindResign    Kind = 6
	KindSetTime   Kind = 7
	KindClaim     Kind = 8
)

// Flags of the header. A receiver ignores bits it does not know and keeps them when re-encoding.
type Flags uint16

const (
	FlagDry         Flags = 1 << 0 // sender steers a virtual clock: it has no vote and no office among real nodes
	FlagVoter       Flags = 1 << 1 // sender holds itself for a voting member of the header's lineage
	FlagNeverMaster Flags = 1 << 2 // sender never stands for master
	FlagJumped      Flags = 1 << 3 // sender saw its own clock jump since its last Reply
	FlagKernelRX    Flags = 1 << 4 // T2 and Earlier.T6 of this packet were taken by the kernel
	FlagKernelTX    Flags = 1 << 5 // Earlier.T3 of this packet was taken by the kernel
	FlagEarlier     Flags = 1 << 6 // Reply: the Earlier block is filled; Append sets it, ParseReply checks it
	FlagAgain       Flags = 1 << 7 // Ack: reply once more, at once
	FlagFitted      Flags = 1 << 8 // sender's timescale stands on a fitted line: its rate error is small
	FlagLast        Flags = 1 << 9 // Ack with FlagAgain: that Reply may get no Ack
)

// Header opens every packet. Its length on the wire is HeaderLen.
type Header struct {
	Kind    Kind
	Flags   Flags
	Group   uint32 // which LAN this packet belongs to: a hash of the configured group name
	KeyID   uint32 // which key made the tag; 0 = the null key, whose tag is all zeros
	Sender  ID
	Start   uint32 // random per start of the sender: tells a restart and a cloned disk
	Seq     uint32 // the poll round this packet belongs to, counted from 1 by its master; no packet has 0
	Lineage uint64 // random id of the founding; 0 = not founded yet
	Term    uint64 // term of the office this packet speaks for or obeys
}

// Phase says what a master is doing.
type Phase uint8

const (
	PhaseGathering Phase = 1 // measuring only: no clock is moved
	PhaseKeeping   Phase = 2 // LAN time exists and is kept
	PhaseHolding   Phase = 3 // no majority: nobody is steered
)

// Poll is multicast by the master at the start of a round.
type Poll struct {
	Nonce    Nonce
	Interval uint32 // µs from this poll to the next
	Window   uint32 // µs within which replies are sent
	Slots    uint16 // the window is cut into so many slots
	Members  uint16 // nodes the master knows, itself included
	Priority uint8
	Phase    Phase
	Turns    uint16 // rounds in which every slave has its turn of Acks once; 0 and 1 = every slave in every round
	Name     []byte // of the sender's host, in a block; empty = none: a label, never to be trusted
}

// HeldKeys is how many key ids a Reply can list.
const HeldKeys = 4

// Reply answers a Poll (Repeat 0) or an Ack with FlagAgain (Repeat 1 and up), by unicast.
type Reply struct {
	Echo     Nonce // the Poll's nonce
	Nonce    Nonce // fresh; the Ack and the Adjust must show it
	T2       Stamp // receipt of the Poll
	T3       Stamp // sending of this Reply, as well as it was known before sending
	Residual int64 // ns the OS clock still has to move to stand on the sender's timescale
	Rate     Rate  // frequency correction of the sender's timescale against its raw oscillator
	Bound    int64 // ns: the sender's own bound on its distance from LAN time
	Master   ID    // the master the sender obeys; 0 = none
	Repeat   uint8
	Priority uint8
	Earlier  Earlier
	Held     [HeldKeys]uint32 // key ids the sender holds, newest first, 0 = none
	Pace     uint32           // ppb: largest slew rate of the sender; 0 = not stated
	Moved    uint32           // ns, wrapping: sum of what its own corrections have moved its timescale by
	Name     []byte           // as in Poll
	Move     Move             // that the sender knows to be under way, in a block; Lineage 0 = none
}

// Earlier brings the exact stamps of a Reply/Ack exchange that is over: they were not known when it ran.
type Earlier struct {
	Seq    uint32 // round of that exchange
	Repeat uint8  // which Reply of that round
	T3     Stamp  // exact sending of that Reply
	T6     Stamp  // receipt of the Ack to it
}

// Ack answers a Reply at once, by unicast.
type Ack struct {
	Echo   Nonce // the Reply's nonce
	Repeat uint8 // the Reply's Repeat
}

// Standing is what a master says of a member in an Adjust.
type Standing uint8

const (
	StandingFounder  Standing = 1 // named at the founding; repeated until its Reply shows the lineage
	StandingVoter    Standing = 2 // has a voice in the mean
	StandingNewcomer Standing = 3 // brought to LAN time, no vote
	StandingLeftOut  Standing = 4 // a voter whose reading missed the majority's this round
)

// NoSlot in an Entry means: choose a slot at random.
const NoSlot = 0xFFFF

// Successors is how many successors an Adjust names.
const Successors = 3

// MaxEntries is how many entries fit into MaxPacket bytes.
const MaxEntries = 34

// Adjust is multicast at the end of a round, in as many parts as its entries need.
type Adjust struct {
	Rotation   Rotation
	Pace       uint32 // ppb: slew rate for common moves, the slowest member's; 0 = not stated
	Spread     uint32 // ns, saturating: largest minus smallest offset among the voters this round
	Voters     uint16 // voters whose reading stands in the mean
	Members    uint16
	Part       uint8 // 0 … Parts-1
	Parts      uint8
	Phase      Phase
	Successors [Successors]ID
	Entries    []Entry
	Move       Move // under way, in a block; Lineage 0 = none
}

// Rotation is the sum of all common moves of LAN time since the founding: at LAN time t every node's
// timescale has been moved by Phase + Rate·(t − Epoch). A sum, never an increment: a lost or doubled Adjust changes nothing.
type Rotation struct {
	Rate  Rate
	Phase int64 // ns
	Epoch Stamp
}

// Entry is one member's part of an Adjust. It counts only for the node ID names, and only with its outstanding nonce.
type Entry struct {
	ID       ID
	Nonce    Nonce
	Delta    int64  // ns to add to that node's timescale as it stood in round Seq
	Bound    uint32 // ns, saturating: bound of the measurement behind Delta
	Slot     uint16 // slot for its next Reply
	Standing Standing
}

// Candidate asks whether anybody objects to its sender being master: multicast by who stands for office, unicast by a
// master to another. Its header's Term is the one that the sender would hold, or does; the sender's rank is Priority,
// FlagVoter, Rounds and the sender.
type Candidate struct {
	Nonce    Nonce  // fresh; a Claim must show it
	Master   ID     // the master that the sender obeyed last, or is; 0 = none
	Rounds   uint32 // rounds of LAN time that the sender has taken part in
	Priority uint8  // never 0
}

// Claim objects to a Candidate, by unicast: its sender is master, or obeys a living one, or is a candidate of higher rank.
// Its header's Term is the highest that the sender has obeyed; a master's is its own.
type Claim struct {
	Echo     Nonce  // the Candidate's nonce
	Master   ID     // the living master; 0 where the sender is a candidate of higher rank
	Rounds   uint32 // the sender's, as in Candidate
	Voters   uint16 // voting members that obeyed the sender in its last round; 0 unless it is master
	Priority uint8  // the sender's
}

// Resign says that a master stops, by multicast. It may be an old recording: it makes nobody master, since a living one
// objects to whoever stands because of it.
type Resign struct {
	Successor ID // who is to stand at once; 0 = anybody
}

// SetTime asks a master to move LAN time, by unicast, and is what the master answers.
type SetTime struct {
	Request uint64 // random; the lineage of the LAN once it has been moved: who asks again asks for the same move
	Echo    Nonce  // of the master's last Poll; the answer repeats it
	By      int64  // ns to move LAN time by
	Left    int64  // answer: ns that clocks on LAN time have to go, with what an earlier move has left
	Begins  Stamp  // answer: LAN time at which it begins
	Pace    uint32 // answer, ppb: at which clocks that are slewed go
	Answer  Answer
}

// Answer is what a master says to a SetTime.
type Answer uint8

// The answers.
const (
	AnswerNone      Answer = 0 // it is asked for
	AnswerYes       Answer = 1 // LAN time will be moved, or has been
	AnswerNoTime    Answer = 2 // refused: there is no LAN time, or no majority agrees on it
	AnswerBusy      Answer = 3 // refused: another move has been announced and has not begun
	AnswerRange     Answer = 4 // refused: there is no such date, or the protocol cannot carry it
	AnswerUntrusted Answer = 5 // refused: the master has a list of trusted nodes, and the sender is not in it
)

// Move is an operator's order: when LAN time shows Epoch, in the lineage From, every timescale is moved by By, and belongs to Lineage.
type Move struct {
	Lineage uint64 // of the LAN that has been moved; 0 = there is no move
	From    uint64
	By      int64  // ns
	Left    int64  // ns that clocks have to go then: By, and what an earlier move has left
	Epoch   Stamp  // on LAN time as it was before
	Pace    uint32 // ppb, at which clocks that are slewed go
}
