package main

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// frame makes an Ethernet frame of a UDP packet.
func frame(from, to uint16, payload ...byte) []byte {
	b := make([]byte, 14+20+8, 14+20+8+len(payload))
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	b[14], b[23] = 0x45, 17
	binary.BigEndian.PutUint16(b[16:], uint16(28+len(payload)))
	binary.BigEndian.PutUint16(b[34:], from)
	binary.BigEndian.PutUint16(b[36:], to)
	return append(b, payload...)
}

func TestParsePacket(t *testing.T) {
	for _, c := range []struct {
		name    string
		frame   []byte
		want    Packet
		ok      bool
		leading string // the program whose leader sends such
	}{
		{"poll", frame(10525, 10525, 'M', 'T', 1, 1), Packet{Bytes: 32, Service: portPoll, Kind: kindPoll}, true, programMeantime},
		{"reply", frame(10526, 10526, 'M', 'T', 1, 2), Packet{Bytes: 32, Service: portPoll, Kind: 2}, true, ""},
		{"client", frame(40000, 123, 0x23, 0), Packet{Bytes: 30, Service: portNTP, Kind: 3}, true, ""},
		{"orphan", frame(123, 40000, 0x24, 10), Packet{Bytes: 30, Service: portNTP, Kind: 4, Stratum: 10}, true, programOrphan},
		{"follower", frame(123, 40000, 0x24, 11), Packet{Bytes: 30, Service: portNTP, Kind: 4, Stratum: 11}, true, ""},
		{"first", frame(123, 40000, 0x24, 8), Packet{Bytes: 30, Service: portNTP, Kind: 4, Stratum: 8}, true, programChrony},
		{"other", frame(1, 2, 3), Packet{Bytes: 29}, true, ""},
		{"short", frame(1, 2)[:41], Packet{}, false, ""},
		{"TCP", func() []byte { f := frame(123, 123, 1, 2); f[23] = 6; return f }(), Packet{}, false, ""},
		{"IPv6", func() []byte { f := frame(123, 123, 1, 2); f[12] = 0x86; return f }(), Packet{}, false, ""},
		{"odd header", func() []byte { f := frame(123, 123, 1, 2); f[14] = 0x4f; return f }(), Packet{}, false, ""},
	} {
		got, ok := parsePacket(c.frame)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
		if polls := ok && got.polls(); polls != (c.name == "poll" || c.name == "client") {
			t.Errorf("%s: polls %v", c.name, polls)
		}
		for _, program := range programs {
			want := ok && (program == c.leading || c.leading == programMeantime && (program == programPhase || program == programDebian))
			if leads := ok && got.leads(program); leads != want {
				t.Errorf("%s: leads %s: %v, want %v", c.name, program, leads, want)
			}
		}
	}
}

func TestPacketAndVitalFiles(t *testing.T) {
	var text bytes.Buffer
	packets := []Packet{{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}}
	for _, p := range packets {
		if err := p.write(&text); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readPackets([]byte(text.String() + "1 2 3 4")); err != nil || !slices.Equal(got, packets) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := readPackets([]byte("1 2 3 4 5 x\n")); err == nil {
		t.Error("a damaged packet file is accepted")
	}
	text.Reset()
	vitals := []Vital{{1, statusUnsync, -3.5, 4, 5, 6, 7, 8}, {9, 10, 11, 12, 13, 14, 15, 16}}
	for _, v := range vitals {
		if err := v.write(&text); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readVitals([]byte(text.String() + "9")); err != nil || !slices.Equal(got, vitals) {
		t.Errorf("got %v, %v", got, err)
	}
	if vitals[0].synchronised() || !vitals[1].synchronised() {
		t.Error("STA_UNSYNC is misread")
	}
	if _, err := readVitals([]byte("1 2 3\n")); err == nil {
		t.Error("a damaged vitals file is accepted")
	}
}
