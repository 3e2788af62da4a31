// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"slices"
	"time"
)

// Requester is who asked the API server for a change, as the API server knows them.
type Requester struct {
	// Name is the user name, such as maya@acme.example or system:serviceaccount:flux-system:kustomize-controller.
	Name   string              `json:"name"`
	UID    string              `json:"uid,omitempty"`
	Groups []string            `json:"groups,omitempty"`
	Extra  map[string][]string `json:"extra,omitempty"`
}

// Attribution is the record that admission makes of an admitted request. What was admitted
// need not have been stored: it says who asked, and the event that uses it makes sure that
// just that was stored.
type Attribution struct {
	// ObjectUID, Generation and Digest say what was admitted: the object, its generation
	// once stored, and declared.Digest of it. A deletion has neither generation nor digest.
	ObjectUID  string
	Generation int64
	Digest     string
	// Deletion is true for a request to delete the object.
	Deletion  bool
	Requester Requester
	// RequestID is the uid of the admission request, which the API server's own audit log has too.
	RequestID string
	At        time.Time
}

// Admits says whether the record is of just this generation and digest.
func (a Attribution) Admits(generation int64, digest string) bool {
	return !a.Deletion && a.Generation == generation && a.Digest == digest
}

// Admitted says whether somebody is known to have asked for just this generation and digest.
func Admitted(records []Attribution, generation int64, digest string) bool {
	return slices.ContainsFunc(records, func(record Attribution) bool { return record.Admits(generation, digest) })
}

// AuthorshipState says how well an event knows its author.
type AuthorshipState string

// The states of an authorship.
const (
	// AuthorshipAdmitted: admission recorded who asked for just what was stored.
	AuthorshipAdmitted AuthorshipState = "Admitted"
	// AuthorshipAbsent: there is no such record; admission was off, absent or could not record.
	AuthorshipAbsent AuthorshipState = "AdmissionAbsent"
)

// Authorship says who asked for a change, and how that is known.
type Authorship struct {
	State AuthorshipState `json:"state"`
	// FieldManager is the program that wrote the object last, by its own account; only where State is AdmissionAbsent.
	FieldManager string `json:"fieldManager,omitempty"`
	// Authors lists each who asked for one of the generations that a change covers, oldest
	// first; only where there are several.
	Authors []Author `json:"authors,omitempty"`
}

// Author is one of those who asked for a change that covers several generations.
type Author struct {
	Generation     int64  `json:"generation"`
	KubernetesUser string `json:"kubernetesUser"`
	// At is when they asked; zero for whom nobody knows.
	At time.Time `json:"at,omitzero"`
}
