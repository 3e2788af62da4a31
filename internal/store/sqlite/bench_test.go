// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

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
		_, err := s.Write(b.Context(), func(tx store.Tx) error {
			member := benchMember(i % many)
			member.FirstName = fmt.Sprint(i)
			if _, err := tx.Put(b.Context(), member); err != nil {
				return err
			}
			return tx.Append(b.Context(), benchEvent(member, i))
		})
		if err != nil {
			b.Fatal(err)
		}
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
