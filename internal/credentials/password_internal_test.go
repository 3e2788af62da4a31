// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

const someHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

// zeros is an endless source.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Each hash takes memory, so that never more are made than there are slots, by whichever method.
func TestHasherMakesFewHashesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hasher := NewHasher(zeros{})
		slots := cap(hasher.slots)
		if want := min(runtime.GOMAXPROCS(0), 4); slots != want {
			t.Fatalf("%d slots, want %d", slots, want)
		}
		running, release := make(chan struct{}, 100), make(chan struct{})
		hasher.derive = func(_, _ []byte, p argonParameters) []byte {
			running <- struct{}{}
			<-release
			return make([]byte, p.hash)
		}
		const callers = 10
		done := make(chan error, 2*callers)
		for range callers {
			go func() { _, err := hasher.Hash(t.Context(), "x"); done <- err }()
			go func() { _, _, err := hasher.Verify(t.Context(), someHash, "x"); done <- err }()
		}
		for finished := range 2 * callers {
			synctest.Wait() // until all wait for a slot or for their release
			if want := min(finished+slots, 2*callers); len(running) != want {
				t.Fatalf("with %d finished, %d have begun, want %d", finished, len(running), want)
			}
			release <- struct{}{}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestHasherWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hasher := NewHasher(zeros{})
		for range cap(hasher.slots) {
			hasher.slots <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { _, err := hasher.Hash(ctx, "x"); done <- err }()
		go func() { _, _, err := hasher.Verify(ctx, someHash, "x"); done <- err }()
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("did not wait for a slot")
		}
		cancel()
		for range 2 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		<-hasher.slots
		// Nor does it begin, though there is a slot again.
		hasher.derive = func(_, _ []byte, _ argonParameters) []byte { t.Error("began"); return nil }
		for range 100 {
			if _, err := hasher.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
	})
}

// A slot is given back whatever happens.
func TestHasherKeepsNoSlot(t *testing.T) {
	hasher := NewHasher(zeros{})
	hasher.derive = func(_, _ []byte, _ argonParameters) []byte { panic("out of order") }
	for range 10 {
		func() {
			defer func() { _ = recover() }()
			_, _ = hasher.Hash(t.Context(), "x")
		}()
	}
	if len(hasher.slots) != 0 {
		t.Errorf("%d slots are kept", len(hasher.slots))
	}
}

// What is parsed is in bounds, and is written as it was.
func FuzzParsePHC(f *testing.F) {
	f.Add(someHash)
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43))
	f.Add("$argon2id$v=19$m=4294967296,t=0,p=256$$")
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := parsePHC(s)
		if err != nil {
			if !errors.Is(err, ErrMalformedHash) || (parsed.salt != nil || parsed.hash != nil) {
				t.Errorf("%v, and %v", err, parsed)
			}
			return
		}
		p := parsed.parameters
		if p.memory < 8 || p.memory > 77824 || p.time < 1 || p.time > 32 || p.parallelism < 1 || p.parallelism > 4 || len(parsed.salt) != p.salt || len(parsed.hash) != p.hash {
			t.Errorf("out of bounds: %v", parsed)
		}
		if parsed.String() != s {
			t.Errorf("%s became %s", s, parsed)
		}
		again, err := parsePHC(parsed.String())
		if err != nil || !bytes.Equal(again.hash, parsed.hash) || !bytes.Equal(again.salt, parsed.salt) || again.parameters != p {
			t.Errorf("%v, then %v: %v", parsed, again, err)
		}
	})
}
