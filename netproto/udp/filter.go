package udp

import (
	"golang.org/x/net/bpf"

	"meantime/netproto"
)

// This file makes the program by which the kernel refuses datagrams before they take a place in a socket's queue. It is pure
// values, so that it is tested on every platform; filter_linux.go hands it to the kernel.

const (
	// udpHeader in bytes: a socket's filter sees a datagram from its UDP header on.
	udpHeader = 8
	// spared: one in so many datagrams that would be refused is let in nevertheless, by lot, so that whoever counts and names
	// what comes still sees it: hosts of another group or version. A flood loses fifteen sixteenths. A power of two.
	spared = 16
	// whole is the verdict that lets a datagram in uncut.
	whole = 1<<32 - 1
	// refuse stands for the way to the end of the program until its length is known: no jump of it is as long.
	refuse = 1<<8 - 1
)

// admits is the part of the program that ends it for every datagram of the form f, and leaves at its end what is to be refused.
func admits(f netproto.Frame) []bpf.Instruction {
	least := uint32(udpHeader + f.Min)
	p := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: least, SkipTrue: refuse},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(udpHeader + f.Max), SkipTrue: refuse},
		bpf.ALUOpConstant{Op: bpf.ALUOpSub, Val: least},
		bpf.TAX{},
		bpf.LoadAbsolute{Off: uint32(udpHeader + f.LengthAt), Size: 2},
		bpf.JumpIfX{Cond: bpf.JumpNotEqual, SkipTrue: refuse},
	}
	for _, field := range f.Fields {
		p = append(p, bpf.LoadAbsolute{Off: uint32(udpHeader + field.At), Size: field.Size})
		for i, value := range field.Any {
			if left := len(field.Any) - 1 - i; left > 0 {
				p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: uint8(left)})
				continue
			}
			p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: refuse})
		}
	}
	p = append(p, bpf.RetConstant{Val: whole})
	for i := range p {
		switch jump := p[i].(type) {
		case bpf.JumpIf:
			if jump.SkipTrue == refuse {
				jump.SkipTrue = uint8(len(p) - 1 - i)
				p[i] = jump
			}
		case bpf.JumpIfX:
			jump.SkipTrue = uint8(len(p) - 1 - i)
			p[i] = jump
		}
	}
	return p
}

// filterOf is the whole program.
func filterOf(f netproto.Frame) ([]bpf.RawInstruction, error) {
	return bpf.Assemble(append(admits(f),
		bpf.LoadExtension{Num: bpf.ExtRand},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: spared - 1, SkipTrue: 1},
		bpf.RetConstant{Val: whole},
		bpf.RetConstant{Val: 0},
	))
}

// Shield has the kernel refuse datagrams that are not of the form f before they take a place in a queue, on both sockets; it
// takes the place of the form before. It spares one in 16, so that they are seen. Its error wraps errors.ErrUnsupported
// where the system has no such filter. Either way whoever receives has to check everything: the shield only saves work.
func (c *Conn) Shield(f netproto.Frame) error {
	for _, s := range []*socket{c.shared, c.own} {
		if err := s.filter(f); err != nil {
			return err
		}
	}
	return nil
}
