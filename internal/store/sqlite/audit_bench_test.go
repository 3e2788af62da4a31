// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// The log of the benchmarks: a month of some Organizations, which take turns.
const (
	benchOrganizations = 20
	benchPrincipals    = 200
	benchResources     = 5000
	benchMonth         = 30 * 24 * time.Hour
)

var (
	benchStart = time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC)
	// benchKinds are the kinds that the methods of the log are about.
	benchKinds = []iam.Kind{iam.KindMember, iam.KindGroup, iam.KindPolicy, iam.KindApplication, iam.KindAPIKey, iam.KindProject, iam.KindSSHKey}
	benchVerbs = []struct {
		verb   string
		action iam.Action
	}{{"Create", iam.ActionCreated}, {"Update", iam.ActionUpdated}, {"Delete", iam.ActionDeleted}}
)

// benchUUID is a UUID that is always that of the same thing.
func benchUUID(what string, i int) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s %d", what, i)).String()
}

func benchOrganization(i int) (id string, scope store.EventScope) {
	i %= benchOrganizations
	return benchUUID("organization", i), store.EventScope{Namespace: fmt.Sprintf("team-%d", i), NamespaceUID: benchUUID("namespace", i)}
}

// auditEvent is event i of so many, as large as those of the operator are.
func auditEvent(i, count int) iam.Event {
	n := i / benchOrganizations // of its Organization
	organization, scope := benchOrganization(i)
	principal, resource := n*7919%benchPrincipals, n*104729%benchResources
	kind, verb := benchKinds[n*31%len(benchKinds)], benchVerbs[n*17%len(benchVerbs)]
	id, _ := uuid.NewV7()
	e := iam.Event{
		ID: id.String(), RecordedAt: benchStart.Add(time.Duration(i) * (benchMonth / time.Duration(count))),
		Organization: iam.EventOrganization{ID: organization, Name: "Organization " + scope.Namespace},
		Namespace:    scope.Namespace, NamespaceUID: scope.NamespaceUID,
		Principal: iam.Actor{
			Kind: iam.ActorMember, ID: benchUUID(organization, principal), Name: fmt.Sprintf("member-%d", principal),
		},
		KubernetesUser: fmt.Sprintf("member-%d@example.com", principal), SourceIP: fmt.Sprintf("10.0.%d.%d", principal%8, principal%32),
		UserAgent: "kubectl/v1.37.2 (linux/amd64) kubernetes/4f5cd2b", Product: "iam", Service: "iam", Method: verb.verb + string(kind), Action: verb.action,
		RequestID: benchUUID("request", i), StatusCode: 200,
		Resources: []iam.EventResource{{
			Kind: kind, Type: "iam_thing", ID: benchUUID("resource "+organization, resource),
			Name: fmt.Sprintf("resource-%d", resource), Action: verb.action,
		}},
		Authorship: &iam.Authorship{State: iam.AuthorshipAbsent, FieldManager: "kubectl-client-side-apply"},
		Change: iam.EventChange{
			Before: json.RawMessage(`{"description":"what the thing was for before it was changed","tags":["production","team"]}`),
			After:  json.RawMessage(`{"description":"what the thing is for from now on","tags":["production","team","reviewed"]}`),
		},
	}
	if n%100 == 0 {
		e.StatusCode, e.Reason = 403, "it needs the verb bind on policies"
	}
	return e
}

// auditStore holds IAM_BENCH_EVENTS events, few if that is not set, in IAM_BENCH_FILE, which is
// filled if it is not there yet, and stays.
func auditStore(b *testing.B) (s *Store, count int) {
	b.Helper()
	count = 2000
	if text := os.Getenv("IAM_BENCH_EVENTS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	path := os.Getenv("IAM_BENCH_FILE")
	if path == "" {
		path = filepath.Join(b.TempDir(), "iam.db")
	}
	s, err := Open(b.Context(), Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	there, err := s.EventRange(b.Context(), store.EventScope{})
	if err != nil {
		b.Fatal(err)
	}
	fillAudit(b, s, int(there.Newest), count)
	return s, count
}

func fillAudit(b *testing.B, s *Store, from, count int) {
	b.Helper()
	const batch = 1000
	for from < count {
		_, err := s.Write(b.Context(), func(tx store.Tx) error {
			for i := from; i < min(from+batch, count); i++ {
				if err := tx.Append(b.Context(), auditEvent(i, count)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		from += batch
		if s.session != nil && from < count { // a million pages are not read again for each batch
			if _, err := s.session.conn.ExecContext(b.Context(), "PRAGMA cache_size = -1000000"); err != nil {
				b.Fatal(err)
			}
		}
		s.checkpointAlone()
	}
	if s.session != nil {
		s.drop()
	}
}

// BenchmarkEvents is a page of a hundred events, by each filter, of everybody and of one
// namespace; and what an event takes on the disk.
func BenchmarkEvents(b *testing.B) {
	s, count := auditStore(b)
	var bytes float64
	if err := queryOne(b.Context(), s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", nil, &bytes); err != nil {
		b.Fatal(err)
	}
	_, home := benchOrganization(3)
	for _, scope := range []store.EventScope{{}, home} {
		for _, c := range benchQueries(b, s, count, scope) {
			b.Run(c.name+map[bool]string{true: "/one namespace"}[scope.Namespace != ""], func(b *testing.B) {
				var taken latencies
				for i := 0; b.Loop(); i++ {
					query := c.query(i)
					start := time.Now()
					if _, err := s.Events(b.Context(), query); err != nil {
						b.Fatal(err)
					}
					taken.add(time.Since(start))
				}
				taken.report(b)
				b.ReportMetric(bytes/float64(count), "bytes/event")
			})
		}
	}
}

type benchQuery struct {
	name  string
	query func(i int) store.EventQuery
}

func benchQueries(b *testing.B, s *Store, count int, scope store.EventScope) []benchQuery {
	by := func(name string, filter func(e iam.Event) store.EventFilter) benchQuery {
		return benchQuery{name, func(i int) store.EventQuery {
			e := auditEvent(i*7907*benchOrganizations%count+3, count)
			return store.EventQuery{EventScope: scope, EventFilter: filter(e), Limit: 100}
		}}
	}
	day := func(i int) time.Time { return benchStart.Add(benchMonth * time.Duration(i%28) / 30) }
	deep := hundredthPage(b, s, scope)
	return []benchQuery{
		by("nothing", func(iam.Event) store.EventFilter { return store.EventFilter{} }),
		by("principal", func(e iam.Event) store.EventFilter { return store.EventFilter{PrincipalName: e.Principal.Name} }),
		by("principalID", func(e iam.Event) store.EventFilter { return store.EventFilter{PrincipalID: e.Principal.ID} }),
		by("principalKind", func(e iam.Event) store.EventFilter { return store.EventFilter{PrincipalKind: e.Principal.Kind} }),
		by("method", func(e iam.Event) store.EventFilter { return store.EventFilter{Method: e.Method} }),
		by("action", func(e iam.Event) store.EventFilter { return store.EventFilter{Action: e.Action} }),
		by("resource", func(e iam.Event) store.EventFilter { return store.EventFilter{ResourceName: e.Resources[0].Name} }),
		by("resourceID", func(e iam.Event) store.EventFilter { return store.EventFilter{ResourceID: e.Resources[0].ID} }),
		by("resourceKind", func(e iam.Event) store.EventFilter { return store.EventFilter{ResourceKind: e.Resources[0].Kind} }),
		by("product", func(e iam.Event) store.EventFilter { return store.EventFilter{Product: e.Product} }),
		by("sourceIP", func(e iam.Event) store.EventFilter { return store.EventFilter{SourceIP: e.SourceIP} }),
		by("requestID", func(e iam.Event) store.EventFilter { return store.EventFilter{RequestID: e.RequestID} }),
		by("statusCode", func(iam.Event) store.EventFilter { return store.EventFilter{StatusCode: 403} }),
		by("method and principal", func(e iam.Event) store.EventFilter {
			return store.EventFilter{Method: e.Method, PrincipalName: e.Principal.Name}
		}),
		by("three that hardly meet", func(e iam.Event) store.EventFilter {
			return store.EventFilter{Method: e.Method, PrincipalName: e.Principal.Name, StatusCode: 403}
		}),
		{"one day", func(i int) store.EventQuery {
			return store.EventQuery{EventScope: scope, Since: day(i), Until: day(i + 1), Limit: 100}
		}},
		{"method in one day", func(i int) store.EventQuery {
			return store.EventQuery{
				EventScope: scope, EventFilter: store.EventFilter{Method: "CreatePolicy"}, Since: day(i), Until: day(i + 1), Limit: 100,
			}
		}},
		{"another method", func(int) store.EventQuery {
			return store.EventQuery{EventScope: scope, Not: store.EventFilter{Method: "CreatePolicy"}, Limit: 100}
		}},
		{"the hundredth page", func(int) store.EventQuery { return deep }},
	}
}

// hundredthPage gives the query of the hundredth page of all events, or of the last that there is.
func hundredthPage(b *testing.B, s *Store, scope store.EventScope) store.EventQuery {
	b.Helper()
	query := store.EventQuery{EventScope: scope, Limit: 100}
	for range 99 {
		page, err := s.Events(b.Context(), query)
		if err != nil {
			b.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		query.Before = page[len(page)-1].Sequence
	}
	return query
}

// BenchmarkEventsAfter is a hundred events for one who follows, near the newest.
func BenchmarkEventsAfter(b *testing.B) {
	s, count := auditStore(b)
	_, home := benchOrganization(3)
	for name, scope := range map[string]store.EventScope{"everybody": {}, "one namespace": home} {
		b.Run(name, func(b *testing.B) {
			var taken latencies
			for b.Loop() {
				start := time.Now()
				if _, err := s.EventsAfter(b.Context(), scope, int64(count-100), 100); err != nil {
					b.Fatal(err)
				}
				taken.add(time.Since(start))
			}
			taken.report(b)
		})
	}
}

// BenchmarkAppend is one event in a commit of its own, beside those that are there.
func BenchmarkAppend(b *testing.B) {
	s, count := auditStore(b)
	var taken latencies
	for i := 0; b.Loop(); i++ {
		event := auditEvent(count+i, count)
		start := time.Now()
		_, err := s.Write(b.Context(), func(tx store.Tx) error { return tx.Append(b.Context(), event) })
		if err != nil {
			b.Fatal(err)
		}
		taken.add(time.Since(start))
	}
	taken.report(b)
}

// BenchmarkSeal is what sealing an event takes: normalizing, encoding and hashing it.
func BenchmarkSeal(b *testing.B) {
	event := auditEvent(1, 1000)
	previous := iam.GenesisHash("incarnation", event.Organization.ID)
	for b.Loop() {
		read, _, err := normalize(event)
		if err != nil {
			b.Fatal(err)
		}
		content, err := read.ContentHash()
		if err != nil {
			b.Fatal(err)
		}
		previous = iam.SealAfter(previous, content).Hash
	}
}

// BenchmarkDropEvents is how long retention holds the writer for a batch of events.
func BenchmarkDropEvents(b *testing.B) {
	s, _ := auditStore(b)
	var taken latencies
	for i := 0; b.Loop(); i++ {
		organization, _ := benchOrganization(i)
		start := time.Now()
		_, err := s.Write(b.Context(), func(tx store.Tx) error {
			_, err := tx.DropEvents(b.Context(), organization, benchStart.Add(benchMonth), 20)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		taken.add(time.Since(start))
	}
	taken.report(b)
}

// BenchmarkUnlisted is how long a verifier reads each event for what the index says of it.
func BenchmarkUnlisted(b *testing.B) {
	s, count := auditStore(b)
	for b.Loop() {
		if sequence, err := s.unlisted(b.Context()); err != nil || sequence != 0 {
			b.Fatal(sequence, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/event")
}
