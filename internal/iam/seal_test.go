// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

var sealedAt = time.Date(2026, time.November, 1, 12, 0, 0, 123456789, time.FixedZone("CET", 3600))

// wholeEvent has every field set.
func wholeEvent() iam.Event {
	return iam.Event{
		Sequence: 42, ID: "019a3f00-0000-7000-8000-000000000001", RecordedAt: sealedAt, Organization: iam.EventOrganization{ID: "org-1", Name: "Örg <&>"},
		Namespace: "home", NamespaceUID: "uid-1", ProjectID: "project-1", Principal: iam.Actor{Kind: iam.ActorMember, ID: "member-1", Name: "maya"},
		KubernetesUser: "oidc:maya", SourceIP: "192.0.2.1", UserAgent: "kubectl/v1.35", Product: "iam", Service: "scaleway.iam.v1alpha1.Api",
		Method: "UpdatePolicy", Action: iam.ActionUpdated, RequestID: "request-1", StatusCode: 200, Reason: "because",
		Authorship: &iam.Authorship{State: "Known", FieldManager: "kubectl", Authors: []iam.Author{{Generation: 3, KubernetesUser: "oidc:mo", At: sealedAt.UTC()}}},
		Resources:  []iam.EventResource{{Kind: iam.KindPolicy, Type: "iam_policy", ID: "policy-1", Name: "readers", Action: iam.ActionUpdated}},
		Change:     iam.EventChange{Before: json.RawMessage(`{"name":"a"}`), After: json.RawMessage(`{"name":"b"}`)},
		Origin:     &iam.EventOrigin{EventID: "event-1", EventSequence: 41, SourceIP: "192.0.2.2", UserAgent: "curl"},
		Revision:   "incarnation.7", Seal: iam.Seal{Previous: iam.Hash{1}, Hash: iam.Hash{2}},
	}
}

func wholeCheckpoint() iam.Checkpoint {
	return iam.Checkpoint{
		Number: 7, Incarnation: "incarnation", Previous: iam.Hash{1}, Sequence: 42, At: sealedAt, HeadsHash: iam.Hash{2}, Full: true, Oldest: 3, KeyID: "key-1",
		Heads: []iam.ChainHead{{OrganizationID: "org-1", Sequence: 42, Hash: iam.Hash{3}, DroppedSequence: 5, DroppedHash: iam.Hash{4}}}, Signature: []byte("signature"),
	}
}

// What is sealed and signed already must stay so: where one of these fails, every audit log that there is would be
// found to be tampered with. A field that is added is omitempty, and leaves them as they are.
func TestCanonicalForms(t *testing.T) {
	whole, checkpoint := wholeEvent(), wholeCheckpoint()
	everyFieldIsSet(t, "Event", reflect.ValueOf(whole))
	everyFieldIsSet(t, "Checkpoint", reflect.ValueOf(checkpoint))
	for name, test := range map[string]struct {
		text func() ([]byte, error)
		want string
		hash func() (iam.Hash, error)
		sum  string
	}{
		"an event with every field":     {whole.Canonical, wholeText, whole.ContentHash, "c8365f5f588117f372dc4b751b3f58f2999337f99f842f6ee7fc0b5f1ceddccb"},
		"an event with none":            {iam.Event{}.Canonical, emptyText, iam.Event{}.ContentHash, "16dfd6e4abf48475284df40efec0bd4d2b53c9b38353c13b94b0571595d50c89"},
		"a checkpoint with every field": {checkpoint.Signed, checkpointText, checkpoint.Hash, "eeec6c808f3e291c39db378570809f60e20958e0d6eecc7fda491feafe99d79f"},
		"the heads of a checkpoint":     {func() ([]byte, error) { return json.Marshal(checkpoint.Heads) }, headsText, func() (iam.Hash, error) { return iam.HashHeads(checkpoint.Heads) }, "ea410ff85e53e69afb3d7ba06389eed4dc017ecab40dacbdc0ad391e726a7949"},
		"no heads":                      {func() ([]byte, error) { return nil, nil }, "", func() (iam.Hash, error) { return iam.HashHeads(nil) }, "68dce057cb17419b42bc222008be4ecd68e7e9e3ba2a88e273169f0f2a0673e2"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := test.text()
			if err != nil || string(text) != test.want {
				t.Errorf("the text is %q (%v)\nwant %q", text, err, test.want)
			}
			sum, err := test.hash()
			if err != nil || sum.String() != test.sum {
				t.Errorf("the hash is %s (%v), want %s", sum, err, test.sum)
			}
		})
	}
	seal := iam.SealAfter(iam.GenesisHash("incarnation", "org-1"), iam.Hash{5})
	if got, want := seal.Hash.String(), "6fc555177cbd86d35fa9229fb1d64eefd64400fd9097617a194b27335db8b2bc"; got != want {
		t.Errorf("the seal is %s, want %s", got, want)
	}
}

// everyFieldIsSet fails where a field was added that the fixed forms do not have.
func everyFieldIsSet(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.IsZero():
		t.Errorf("%s is not set: set it, and see that its absence leaves the fixed forms as they are", path)
	case v.Kind() == reflect.Pointer:
		everyFieldIsSet(t, path, v.Elem())
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Index(0).Kind() == reflect.Struct:
		everyFieldIsSet(t, path, v.Index(0))
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			everyFieldIsSet(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	}
}

// The heads are not in what is signed, but for their hash: the published form, without them, has the same signature.
func TestPublishedCheckpoint(t *testing.T) {
	stored := wholeCheckpoint()
	published := stored
	published.Heads = nil
	a, errA := stored.Hash()
	b, errB := published.Hash()
	if errA != nil || errB != nil || a != b {
		t.Errorf("the hash with its heads is %s, without them %s; %v, %v", a, b, errA, errB)
	}
}

const (
	wholeText = `iam-operator.dev/audit/v1/event` + "\n" +
		`42` + "\n" +
		`incarnation.7` + "\n" +
		`{"id":"019a3f00-0000-7000-8000-000000000001","recordedAt":"2026-11-01T11:00:00.123456789Z","organization":{"id":"org-1","name":"Örg \u003c\u0026\u003e"},"namespace":"home","namespaceUID":"uid-1","projectID":"project-1","principal":{"kind":"Member","id":"member-1","name":"maya"},"kubernetesUser":"oidc:maya","sourceIP":"192.0.2.1","userAgent":"kubectl/v1.35","product":"iam","service":"scaleway.iam.v1alpha1.Api","method":"UpdatePolicy","action":"updated","requestID":"request-1","statusCode":200,"reason":"because","authorship":{"state":"Known","fieldManager":"kubectl","authors":[{"generation":3,"kubernetesUser":"oidc:mo","at":"2026-11-01T11:00:00.123456789Z"}]},"resources":[{"kind":"Policy","type":"iam_policy","id":"policy-1","name":"readers","action":"updated"}],"change":{"before":{"name":"a"},"after":{"name":"b"}},"origin":{"eventID":"event-1","eventSequence":41,"sourceIP":"192.0.2.2","userAgent":"curl"}}`
	emptyText = `iam-operator.dev/audit/v1/event` + "\n" +
		`0` + "\n" +
		`` + "\n" +
		`{"id":"","recordedAt":"0001-01-01T00:00:00Z","organization":{"id":"","name":""},"namespace":"","principal":{"kind":"","name":""},"sourceIP":"","userAgent":"","product":"","service":"","method":"","action":"","statusCode":0,"resources":null,"change":{}}`
	checkpointText = `iam-operator.dev/audit/v1/checkpoint` + "\n" +
		`{"number":7,"incarnation":"incarnation","previous":"0100000000000000000000000000000000000000000000000000000000000000","sequence":42,"at":"2026-11-01T11:00:00.123456789Z","headsHash":"0200000000000000000000000000000000000000000000000000000000000000","full":true,"oldest":3,"keyID":"key-1"}`
	headsText = `[{"organizationID":"org-1","sequence":42,"hash":"0300000000000000000000000000000000000000000000000000000000000000","droppedSequence":5,"droppedHash":"0400000000000000000000000000000000000000000000000000000000000000"}]`
)
