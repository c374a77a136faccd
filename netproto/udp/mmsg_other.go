//go:build !linux

package udp

// sendBatch is 1: these systems have no call for more, or none that tells what became of each.
const sendBatch = 1

// incoming is the receiving side of a socket: one datagram at a time.
type incoming struct {
	got arrival
	oob [controlSize]byte
}

// traffic is what a socket moves datagrams with: to send one needs nothing here.
type traffic struct{ in incoming }

// arrive waits for a datagram and puts it into the first buffer of the batch.
func (s *socket) arrive(batch []Packet) (int, error) {
	buf := batch[0].Data[:cap(batch[0].Data)]
	n, oobn, flags, from, err := s.conn.ReadMsgUDPAddrPort(buf, s.in.oob[:])
	cut := flags&msgTrunc != 0
	if err != nil && truncated(err) {
		cut, n, err = true, len(buf), nil
	}
	if err != nil {
		return 0, err
	}
	s.in.got = arrival{size: n, cut: cut, from: from, control: s.in.oob[:oobn]}
	return 1, nil
}

// arrival is what arrived.
func (in *incoming) arrival(int) arrival { return in.got }

// post sends the first parcel.
func (s *socket) post(list []parcel) (int, error) {
	if _, _, err := s.conn.WriteMsgUDPAddrPort(list[0].data, list[0].control, list[0].to); err != nil {
		return 0, err
	}
	return 1, nil
}
