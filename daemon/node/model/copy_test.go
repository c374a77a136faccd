package model

import (
	"math"
	"net/netip"
	"reflect"
	"sync"
	"unsafe"

	"meantime/daemon/node"
)

// The search goes on from one state in many ways, so it needs copies of a node, and the name of a state. A node offers neither, and
// should not: both are made here by reflection, so that a field that is added tomorrow is copied and counted, too.

// ignored are the fields in which two nodes may differ and yet do the same for ever: what is counted for the operator, the order in
// which tokens were given out, what is overwritten before it is read.
var ignored = map[string]bool{
	"Node.at": true, "Node.out": true, "Node.drops": true, "Node.seen": true, "Node.token": true, "Node.entries": true,
	"Node.cfg": true, "clockwork.pair": true, "sending.token": true, "peer.token": true, "leader.token": true, "peer.twinned": true,
	"leader.room": true, "peer.reading": true, "leader.reading": true, // told, and never asked by the node itself
}

// clone returns a node that shares nothing with n but its configuration.
func clone(n *node.Node) *node.Node {
	c := copier{}
	v := reflect.ValueOf(n)
	return c.pointer(v).Interface().(*node.Node)
}

// copier remembers what it has copied: a node points to some things twice.
type copier map[unsafe.Pointer]reflect.Value

func (c copier) pointer(v reflect.Value) reflect.Value {
	if done, ok := c[v.UnsafePointer()]; ok {
		return done
	}
	fresh := reflect.New(v.Type().Elem())
	c[v.UnsafePointer()] = fresh
	fresh.Elem().Set(v.Elem())
	c.part(fresh.Elem())
	return fresh
}

// part parts v, a shallow copy, from what it was copied of.
func (c copier) part(v reflect.Value) {
	if !points(v.Type()) {
		return
	}
	if name := v.Type().Name(); name == "outbox" || name == "room" { // of use within an input, and until the stamps of its packets are back
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, i := range pointing(v.Type()) {
			c.part(writable(v.Field(i)))
		}
	case reflect.Array:
		for i := range v.Len() {
			c.part(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			v.Set(c.pointer(v))
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Cap())
		reflect.Copy(fresh, v)
		for i := range fresh.Len() {
			c.part(fresh.Index(i))
		}
		v.Set(fresh)
	default:
		panic("copying a " + v.Type().String() + ": teach copier.part how")
	}
}

// writable lifts the ban on fields that are not exported.
func writable(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
}

// shared are the types of what may stay common to a node and its copy: nothing in them ever changes, or nothing that matters.
var shared = map[reflect.Type]bool{
	reflect.TypeFor[netip.AddrPort](): true, reflect.TypeFor[node.Config](): true,
}

// points says whether there is something behind values of a type that a copy must not share.
func points(t reflect.Type) bool {
	switch {
	case shared[t]:
		return false
	case t.Kind() == reflect.Struct:
		return len(pointing(t)) > 0
	case t.Kind() == reflect.Array:
		return points(t.Elem())
	case t.Kind() == reflect.Func, t.Kind() == reflect.String:
		return false
	}
	return t.Kind() > reflect.Array
}

// choices remembers which fields of a struct are chosen: asking for them takes longer than copying them.
type choices struct{ known sync.Map }

func (c *choices) of(t reflect.Type, chosen func(reflect.StructField) bool) []int {
	if known, ok := c.known.Load(t); ok {
		return known.([]int)
	}
	var list []int
	for i := range t.NumField() {
		if chosen(t.Field(i)) {
			list = append(list, i)
		}
	}
	c.known.Store(t, list)
	return list
}

var pointers, counters choices

// pointing lists the fields of a struct that point somewhere.
func pointing(t reflect.Type) []int {
	return pointers.of(t, func(f reflect.StructField) bool { return points(f.Type) })
}

// hash names a state: 64 bits, so that among ten million states two are taken for one with a probability of 3 in a million.
type hash uint64

func (h *hash) add(v uint64) {
	x := uint64(*h) ^ v
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	*h = hash(x + 0x9e3779b97f4a7c15)
}

// value adds everything that is in v or behind it, but what is ignored.
func (h *hash) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, i := range counting(v.Type()) {
			h.value(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		h.add(uint64(v.Len()))
		for i := range v.Len() {
			h.value(v.Index(i))
		}
	case reflect.Pointer:
		if v.IsNil() {
			h.add(0)
			return
		}
		h.add(1)
		h.value(v.Elem())
	case reflect.Bool:
		if v.Bool() {
			h.add(1)
		} else {
			h.add(2)
		}
	case reflect.Float64:
		h.add(math.Float64bits(v.Float()))
	case reflect.String:
		h.add(uint64(v.Len()))
		for i := range v.Len() {
			h.add(uint64(v.String()[i]))
		}
	case reflect.Func:
	default:
		if v.CanInt() {
			h.add(uint64(v.Int()))
			return
		}
		h.add(v.Uint())
	}
}

// counting lists the fields of a struct that count.
func counting(t reflect.Type) []int {
	return counters.of(t, func(f reflect.StructField) bool {
		return !ignored[t.Name()+"."+f.Name] && f.Type != reflect.TypeFor[netip.AddrPort]()
	})
}

// name is the name of a node's state.
func name(n *node.Node) hash {
	var h hash
	h.value(reflect.ValueOf(n).Elem())
	return h
}

// peek follows names of fields, and returns the zero value behind a nil pointer.
func peek(v reflect.Value, names ...string) reflect.Value {
	for _, name := range names {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}
			}
			v = v.Elem()
		}
		v = v.FieldByName(name)
	}
	return v
}
