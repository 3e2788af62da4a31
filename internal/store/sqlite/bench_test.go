// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// many is how many objects the operator is to be at ease with.
const many = 10_000

func benchMember(i int) *iam.Member {
	id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
	return &iam.Member{
		Head: iam.Head{
			ID: id, OrganizationID: "11111111-0000-4000-8000-000000000000",
			Object: iam.Object{Kind: iam.KindMember, Namespace: "team", Name: fmt.Sprintf("member-%d", i), UID: id},
		},
		Type: iam.TypeMember, Username: fmt.Sprintf("member-%d", i), Email: fmt.Sprintf("member-%d@example.com", i),
		Groups: []string{"22222222-0000-4000-8000-000000000000"},
	}
}

func benchEvent(member *iam.Member, i int) iam.Event {
	return iam.Event{
		ID: fmt.Sprintf("event-%d", i), Organization: iam.EventOrganization{ID: member.OrganizationID}, Namespace: "team",
		Principal: iam.Actor{Kind: iam.ActorSystem, Name: "system"}, Method: "UpdateUser", Action: iam.ActionUpdated,
		Resources: []iam.EventResource{{Kind: iam.KindMember, ID: member.ID}},
	}
}

func benchStore(b *testing.B, members int) (s *Store, path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "iam.db")
	s, err := Open(b.Context(), Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	_, err = s.Write(b.Context(), func(tx store.Tx) error {
		for i := range members {
			if _, err := tx.Put(b.Context(), benchMember(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, path
}

// BenchmarkWrite is one changed entity and its event in a transaction of their own.
func BenchmarkWrite(b *testing.B) {
	s, _ := benchStore(b, many)
	for i := 0; b.Loop(); i++ {
		writeOne(b, s, i)
	}
}

// BenchmarkWriteUnchanged is what a settled system costs.
func BenchmarkWriteUnchanged(b *testing.B) {
	s, _ := benchStore(b, many)
	for i := 0; b.Loop(); i++ {
		_, err := s.Write(b.Context(), func(tx store.Tx) error {
			_, err := tx.Put(b.Context(), benchMember(i%many))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteBatch is a hundred entities with their events in one transaction.
func BenchmarkWriteBatch(b *testing.B) {
	s, _ := benchStore(b, many)
	for i := 0; b.Loop(); i += 100 {
		_, err := s.Write(b.Context(), func(tx store.Tx) error {
			for j := i; j < i+100; j++ {
				member := benchMember(j % many)
				member.FirstName = fmt.Sprint(j)
				if _, err := tx.Put(b.Context(), member); err != nil {
					return err
				}
				if err := tx.Append(b.Context(), benchEvent(member, j)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchRecord(i int) iam.Attribution {
	return iam.Attribution{
		ObjectUID: benchMember(i % many).ID, Generation: int64(i), Digest: "sha256:0123456789abcdef0123456789abcdef", RequestID: "request", At: time.Now(),
		Requester: iam.Requester{Name: "maya@acme.example", Groups: []string{"system:authenticated", "platform"}},
	}
}

// BenchmarkAttribute is what an admitted request waits for, alone and with others at once;
// once with a writer that never rests beside them.
func BenchmarkAttribute(b *testing.B) {
	for _, callers := range []int{1, 4, 16, 64} {
		for _, writing := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/writing=%t", callers, writing), func(b *testing.B) {
				s, _ := benchStore(b, many)
				enough := make(chan struct{})
				var beside sync.WaitGroup
				if writing {
					beside.Go(func() { writeUntil(b, s, enough) })
				}
				var taken latencies
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							start := time.Now()
							if err := s.Attribute(b.Context(), benchRecord(int(i))); err != nil {
								b.Error(err)
								return
							}
							taken.add(time.Since(start))
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				taken.report(b)
				close(enough)
				beside.Wait()
			})
		}
	}
}

// BenchmarkWriteBesideAttribute is BenchmarkWrite while sixteen callers record without rest.
func BenchmarkWriteBesideAttribute(b *testing.B) {
	for _, callers := range []int{0, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, _ := benchStore(b, many)
			enough := make(chan struct{})
			var wg sync.WaitGroup
			var next atomic.Int64
			for range callers {
				wg.Go(func() {
					for !ended(enough) {
						if err := s.Attribute(b.Context(), benchRecord(int(next.Add(1)))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			var taken latencies
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				writeOne(b, s, i)
				taken.add(time.Since(start))
			}
			taken.report(b)
			close(enough)
			wg.Wait()
		})
	}
}

func ended(enough <-chan struct{}) bool {
	select {
	case <-enough:
		return true
	default:
		return false
	}
}

func writeUntil(b *testing.B, s *Store, enough <-chan struct{}) {
	for i := 0; !ended(enough); i++ {
		writeOne(b, s, i)
	}
}

// writeOne changes an entity, and appends the event of it.
func writeOne(b *testing.B, s *Store, i int) {
	b.Helper()
	_, err := s.Write(b.Context(), func(tx store.Tx) error {
		member := benchMember(i % many)
		member.FirstName = fmt.Sprint(i)
		if _, err := tx.Put(b.Context(), member); err != nil {
			return err
		}
		return tx.Append(b.Context(), benchEvent(member, i))
	})
	if err != nil {
		b.Error(err)
	}
}

// latencies tell how long calls took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *latencies) report(b *testing.B) {
	slices.Sort(l.all)
	for _, percent := range []int{50, 99} {
		b.ReportMetric(float64(l.all[(len(l.all)-1)*percent/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", percent))
	}
}

// BenchmarkGet is one entity by its id.
func BenchmarkGet(b *testing.B) {
	s, _ := benchStore(b, many)
	ids := make([]string, many)
	for i := range ids {
		ids[i] = benchMember(i).ID
	}
	for i := 0; b.Loop(); i++ {
		if _, err := s.Get(b.Context(), iam.KindMember, ids[i%many]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList is a page of fifty, and one entity by what selects it.
func BenchmarkList(b *testing.B) {
	s, _ := benchStore(b, many)
	organization := benchMember(0).OrganizationID
	object := benchMember(many / 2).Object
	for name, query := range map[string]store.Query{
		"page":       {OrganizationID: organization, Limit: 50, Order: store.OrderLabelDesc},
		"uniqueName": {OrganizationID: organization, UniqueName: "member-77"},
		"object":     {OrganizationID: organization, Object: &object},
	} {
		query.Kind = iam.KindMember
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if page, err := s.List(b.Context(), query); err != nil || len(page.Rows) == 0 {
					b.Fatal(len(page.Rows), err)
				}
			}
		})
	}
}

// BenchmarkSnapshot is every entity, decoded.
func BenchmarkSnapshot(b *testing.B) {
	s, _ := benchStore(b, many)
	for b.Loop() {
		if entities, _, err := s.Snapshot(b.Context()); err != nil || len(entities) != many {
			b.Fatal(len(entities), err)
		}
	}
}

// BenchmarkOpen is what a restart waits for, the look for damage included.
func BenchmarkOpen(b *testing.B) {
	s, path := benchStore(b, many)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(b.Context(), Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
