package node

import (
	"reflect"
	"testing"
)

// mostBytesAPeer is what a master may keep of one member: 10,000 of them are ten MB.
const mostBytesAPeer = 1024

func TestPeerIsSmall(t *testing.T) {
	if size := reflect.TypeFor[peer]().Size(); size > mostBytesAPeer {
		t.Errorf("%d bytes, at most %d", size, mostBytesAPeer)
	} else {
		t.Logf("%d bytes", size)
	}
}
