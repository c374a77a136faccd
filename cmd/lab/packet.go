package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Ports of the daemons, and the kinds of their packets by which it is known who leads.
const (
	portPoll, portNTP = 10525, 123

	kindPoll     = 1 // of meantime's packets: PROTOCOL.md, section 2
	modeClient   = 3 // of an NTP packet: a question
	modeServer   = 4 // and the answer to it
	serviceOther = 0 // any other UDP packet
)

// Packet is one UDP packet as the bed saw it leave a guest. Nothing but a daemon sends any in a guest.
type Packet struct {
	TSC     int64 // counter when the bed saw it
	Node    int   // that sent it
	Bytes   int   // of the IP packet
	Service int   // portPoll for all of meantime's, portNTP, or serviceOther
	Kind    int   // of meantime's packet, or the mode of an NTP packet
	Stratum int   // of an NTP packet
}

// parsePacket looks at an Ethernet frame; false for all that is no UDP over IPv4.
func parsePacket(frame []byte) (p Packet, ok bool) {
	const ethernet, ipHeader, udpHeader, udp = 14, 20, 8, 17
	if len(frame) < ethernet+ipHeader+udpHeader || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return p, false
	}
	ip := frame[ethernet:]
	head := int(ip[0]&0x0f) * 4
	if ip[9] != udp || head < ipHeader || len(ip) < head+udpHeader {
		return p, false
	}
	p.Bytes = int(binary.BigEndian.Uint16(ip[2:]))
	from, to := binary.BigEndian.Uint16(ip[head:]), binary.BigEndian.Uint16(ip[head+2:])
	payload := ip[head+udpHeader:]
	switch {
	case len(payload) >= 4 && string(payload[:2]) == "MT":
		p.Service, p.Kind = portPoll, int(payload[3])
	case len(payload) >= 2 && (from == portNTP || to == portNTP):
		p.Service, p.Kind, p.Stratum = portNTP, int(payload[0]&7), int(payload[1])
	}
	return p, true
}

// polls says that such a packet asks others for their time.
func (p *Packet) polls() bool {
	return p.Service == portPoll && p.Kind == kindPoll || p.Service == portNTP && p.Kind == modeClient
}

// leads says that only whoever leads the LAN sends such a packet.
func (p *Packet) leads(program string) bool {
	switch program {
	case programMeantime, programPhase, programDebian:
		return p.Service == portPoll && p.Kind == kindPoll
	case programChrony:
		return p.Service == portNTP && p.Kind == modeServer && p.Stratum == localStratum
	case programOrphan:
		return p.Service == portNTP && p.Kind == modeServer && p.Stratum == orphanStratum
	}
	return false
}

// write writes a line of a packet file.
func (p *Packet) write(w io.Writer) error {
	_, err := fmt.Fprintln(w, p.TSC, p.Node, p.Bytes, p.Service, p.Kind, p.Stratum)
	return err
}

// readPackets reads a packet file. A last line without its end is left out.
func readPackets(data []byte) (list []Packet, err error) {
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for text := range bytes.Lines(data) {
		var p Packet
		if _, err := fmt.Sscan(string(text), &p.TSC, &p.Node, &p.Bytes, &p.Service, &p.Kind, &p.Stratum); err != nil {
			return nil, fmt.Errorf("packet %d: %w", len(list)+1, err)
		}
		list = append(list, p)
	}
	return list, nil
}
