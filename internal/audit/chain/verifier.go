// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"fmt"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Trust is what a verification holds a store or an export against. It must come from elsewhere:
// who can write the file could have written it as well.
type Trust struct {
	// Keys are the public keys; with none, no signature is checked.
	Keys PublicKeys
	// Newest is the newest checkpoint that was published, read before the store is; nil if it is not known.
	Newest *iam.Checkpoint
	// Former is the last checkpoint that was published of the store before this one; nil if there was none.
	Former *iam.Checkpoint
}

// restarted says whether the store took the place of another.
func (t Trust) restarted(incarnation string) bool {
	return t.Former != nil && t.Former.Incarnation != incarnation
}

// link is what the chain needs to know of an event.
type link struct {
	chain    string
	sequence int64
	content  iam.Hash
	seal     iam.Seal
}

// chainState is how far a chain was followed.
type chainState struct {
	// base is what retention removed: the first event that is kept follows it.
	baseSequence int64
	baseHash     iam.Hash
	// baseSigned says that a checkpoint says so, too.
	baseSigned   bool
	sequence     int64
	hash, before iam.Hash
	// suspect is a problem that the next event of the chain, or its head, tells the nature of.
	suspect *suspect
	// signed is what the newest checkpoint that names the chain says of it.
	signed *iam.ChainHead
}

// suspect is a problem whose kind is not settled yet.
type suspect struct {
	finding Finding
	// expected is the hash of what stood before it.
	expected iam.Hash
}

// verifier follows all chains and all checkpoints, in the order of the sequence, in memory that
// grows with the number of chains alone.
type verifier struct {
	trust  Trust
	result Result
	// only is the one chain that is looked at; nil for all.
	only   *string
	chains map[string]*chainState
	// dirty are the chains that had events since the last checkpoint.
	dirty map[string]struct{}
	// first is the number of the oldest checkpoint that must be there.
	first    int64
	last     iam.Checkpoint
	lastHash iam.Hash
	since    int64 // events since the last checkpoint
}

func newVerifier(incarnation string, trust Trust, only *string, first int64) *verifier {
	return &verifier{
		trust: trust, result: Result{Incarnation: incarnation}, only: only, first: max(first, 1),
		chains: map[string]*chainState{}, dirty: map[string]struct{}{},
	}
}

// begin says where a chain begins, as far as it is kept.
func (v *verifier) begin(head iam.ChainHead) {
	base := head.DroppedHash
	if head.DroppedSequence == 0 {
		base = iam.GenesisHash(v.result.Incarnation, head.OrganizationID)
	}
	v.chains[head.OrganizationID] = &chainState{
		baseSequence: head.DroppedSequence, baseHash: base, baseSigned: head.DroppedSequence == 0,
		sequence: head.DroppedSequence, hash: base,
	}
}

func (v *verifier) chain(id string) *chainState {
	if v.chains[id] == nil {
		v.begin(iam.ChainHead{OrganizationID: id})
	}
	return v.chains[id]
}

// event takes in the next event.
func (v *verifier) event(l link) error {
	c := v.chain(l.chain)
	if c.suspect != nil {
		return c.settle(l.seal.Previous)
	}
	found := func(problem Problem, text string) *Finding {
		return &Finding{Problem: problem, OrganizationID: l.chain, Sequence: l.sequence, Text: text}
	}
	sealed := iam.SealAfter(l.seal.Previous, l.content).Hash == l.seal.Hash
	switch {
	case l.sequence <= c.sequence:
		return found(Reordered, fmt.Sprintf("it stands after event %d", c.sequence))
	case !sealed && l.seal.Previous == c.hash:
		c.suspect = &suspect{*found(Altered, "what it says is not what was sealed"), c.hash}
	case !sealed:
		c.suspect = &suspect{*found(Reordered, "what it says is not what was sealed, nor is it what followed here: it was put in the place of another"), c.hash}
	case l.seal.Previous == c.hash:
	case l.seal.Previous == iam.GenesisHash(v.result.Incarnation, l.chain):
		return found(Restarted, fmt.Sprintf("the chain begins anew with it, although event %d stands before", c.sequence))
	case c.sequence > c.baseSequence && l.seal.Previous == c.before:
		return &Finding{Problem: Inserted, OrganizationID: l.chain, Sequence: c.sequence, Text: fmt.Sprintf("event %d follows what stood before it", l.sequence)}
	default:
		return found(Removed, fmt.Sprintf("what stood before it is missing or was replaced: it does not follow event %d", c.sequence))
	}
	c.before, c.hash, c.sequence = c.hash, l.seal.Hash, l.sequence
	v.count(l)
	return nil
}

func (v *verifier) count(l link) {
	v.dirty[l.chain] = struct{}{}
	v.since++
	v.result.Events++
	if v.result.First == 0 {
		v.result.First = l.sequence
	}
	v.result.Last = max(v.result.Last, l.sequence)
}

// settle says what a suspect is, now that it is known what follows it.
func (c *chainState) settle(following iam.Hash) error {
	finding := c.suspect.finding
	switch {
	case finding.Problem == Truncated:
		finding.Problem, finding.Text = Removed, finding.Text+", and there are later ones"
	case following == c.suspect.expected:
		finding.Problem, finding.Text = Inserted, "what follows it follows what stood before it"
	}
	return &finding
}

// checkpoint takes in the next checkpoint, after all events that it covers.
func (v *verifier) checkpoint(c iam.Checkpoint) error {
	hash, err := c.Hash()
	if err != nil {
		return err
	}
	finding, err := v.vouched(c)
	if err != nil {
		return err
	}
	if finding != nil {
		return finding
	}
	for _, head := range c.Heads {
		if v.only != nil && head.OrganizationID != *v.only {
			continue
		}
		if finding := v.head(head, c.Number); finding != nil {
			return finding
		}
		delete(v.dirty, head.OrganizationID)
	}
	for id := range v.dirty {
		return &Finding{Problem: Inserted, OrganizationID: id, Sequence: v.chains[id].sequence,
			Text: fmt.Sprintf("checkpoint %d does not know of it, although it covers all up to event %d", c.Number, c.Sequence)}
	}
	v.last, v.lastHash, v.since = c, hash, 0
	v.result.Checkpoints++
	v.result.LastCheckpoint, v.result.LastCheckpointAt = c.Number, c.At
	return nil
}

// vouched says what is wrong with a checkpoint itself.
func (v *verifier) vouched(c iam.Checkpoint) (*Finding, error) {
	if bad, err := v.badSignature(c); err != nil || bad != "" {
		return &Finding{Problem: BadSignature, Checkpoint: max(c.Number, 1), Text: bad}, err
	}
	found := func(problem Problem, format string, args ...any) (*Finding, error) {
		return &Finding{Problem: problem, Checkpoint: max(c.Number, 1), Text: fmt.Sprintf(format, args...)}, nil
	}
	if bad, err := badHeads(c); err != nil || bad != "" {
		return &Finding{Problem: Altered, Checkpoint: max(c.Number, 1), Text: bad}, err
	}
	newest := v.trust.Newest
	switch {
	case c.Incarnation != v.result.Incarnation:
		return found(Restarted, "it is of another store, %s", c.Incarnation)
	case newest != nil && c.Number == newest.Number && !sameCheckpoint(c, *newest):
		return found(Altered, "it is not the one that was published: the log was rewritten, or an older copy of it was put back and continued")
	}
	if v.result.Checkpoints == 0 {
		return v.begins(c), nil
	}
	return v.follows(c), nil
}

// begins says what is wrong with a checkpoint as the oldest that is kept.
func (v *verifier) begins(c iam.Checkpoint) *Finding {
	switch {
	case c.Number != v.first:
		return &Finding{Problem: Removed, Checkpoint: max(c.Number, 1), Text: fmt.Sprintf("the oldest that is kept should be %d", v.first)}
	case !c.Full:
		return &Finding{Problem: Altered, Checkpoint: max(c.Number, 1), Text: "it is the oldest that is kept, and does not name all chains"}
	}
	return nil
}

// badSignature says what is wrong with a signature, as far as there are keys to check it with.
func (v *verifier) badSignature(c iam.Checkpoint) (string, error) {
	if v.trust.Keys == nil {
		return "", nil
	}
	return v.trust.Keys.verify(c)
}

// follows says what is wrong with the place of a checkpoint after the one before it.
func (v *verifier) follows(c iam.Checkpoint) *Finding {
	found := func(problem Problem, format string, args ...any) *Finding {
		return &Finding{Problem: problem, Checkpoint: max(c.Number, 1), Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.Number != v.last.Number+1:
		return found(Removed, "it stands after %d", v.last.Number)
	case c.Previous != v.lastHash:
		return found(Removed, "it does not follow the one that stands before it")
	case c.Sequence < v.last.Sequence:
		return found(Reordered, "it covers less than the one before it")
	}
	return nil
}

func sameCheckpoint(a, b iam.Checkpoint) bool {
	x, errX := a.Hash()
	y, errY := b.Hash()
	return errX == nil && errY == nil && x == y
}

// head compares what a checkpoint says of a chain with how far the chain was followed.
func (v *verifier) head(head iam.ChainHead, number int64) *Finding {
	c := v.chain(head.OrganizationID)
	if c.suspect != nil {
		finding := *c.suspect
		if finding.finding.Problem != Truncated && head.Hash == finding.expected {
			finding.finding.Problem = Inserted
		}
		return &finding.finding
	}
	c.signed = &head
	c.baseSigned = c.baseSigned || head.DroppedSequence == c.baseSequence && head.DroppedHash == c.baseHash
	at := func(problem Problem, sequence int64, text string) *Finding {
		return &Finding{Problem: problem, OrganizationID: head.OrganizationID, Sequence: sequence, Text: fmt.Sprintf(text, number)}
	}
	switch {
	case c.sequence > head.Sequence && c.sequence > c.baseSequence:
		return at(Inserted, c.sequence, "checkpoint %d covers it, and does not know of it")
	case c.sequence > head.Sequence: // Retention has removed all that the checkpoint knew of.
	case c.sequence == head.Sequence && c.hash != head.Hash:
		return at(Altered, c.sequence, "the chain up to it was rewritten: it is whole in itself, but is not what checkpoint %d signed")
	case c.sequence < head.Sequence:
		c.suspect = &suspect{*at(Truncated, head.Sequence, "checkpoint %d knows of it, and it is missing"), c.hash}
	}
	return nil
}

// finish compares what was followed with the heads that the store or the export names at its end.
func (v *verifier) finish(heads []iam.ChainHead) error {
	named := map[string]struct{}{}
	for _, head := range heads {
		named[head.OrganizationID] = struct{}{}
		if finding := v.end(head); finding != nil {
			return finding
		}
	}
	for id, c := range v.chains {
		if _, ok := named[id]; !ok && (c.signed != nil || c.sequence > 0) {
			return &Finding{Problem: Removed, OrganizationID: id, Text: "the chain is missing from the list of chains"}
		}
	}
	v.result.Chains, v.result.Unvouched = len(named), v.since
	return v.newest()
}

// end compares the end of a chain with its head.
func (v *verifier) end(head iam.ChainHead) *Finding {
	c := v.chain(head.OrganizationID)
	found := func(problem Problem, sequence int64, format string, args ...any) *Finding {
		return &Finding{Problem: problem, OrganizationID: head.OrganizationID, Sequence: sequence, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.suspect != nil:
		finding := c.suspect.finding
		if finding.Problem != Truncated && head.Hash == c.suspect.expected {
			finding.Problem = Inserted
		}
		return &finding
	case c.sequence < head.Sequence:
		return found(Truncated, head.Sequence, "it is the newest of its chain, and it is missing")
	case c.sequence > head.Sequence:
		return found(Inserted, c.sequence, "the chain is known to end with event %d", head.Sequence)
	case c.hash != head.Hash && head.Sequence > 0:
		return found(Altered, head.Sequence, "the hash in the list of chains is not that of the event")
	}
	return v.beginning(c, head)
}

// beginning compares what was removed from a chain with what was signed.
func (v *verifier) beginning(c *chainState, head iam.ChainHead) *Finding {
	signed := iam.ChainHead{DroppedHash: iam.GenesisHash(v.result.Incarnation, head.OrganizationID)}
	if c.signed != nil {
		signed = *c.signed
	}
	found := func(problem Problem, format string, args ...any) *Finding {
		return &Finding{Problem: problem, OrganizationID: head.OrganizationID, Sequence: head.DroppedSequence, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case v.result.Checkpoints == 0 && head.DroppedSequence > 0: // which newest says nothing vouches for
		return nil
	case head.DroppedSequence != signed.DroppedSequence:
		return found(Removed, "that retention removed all up to it was never signed; what was signed is up to event %d", signed.DroppedSequence)
	case head.DroppedHash != signed.DroppedHash:
		return found(Altered, "the hash of what retention removed is not what was signed")
	case !c.baseSigned:
		return found(Removed, "the chain begins after event %d, and it was never signed that retention removed all up to it", c.baseSequence)
	}
	return nil
}

// newest compares where the checkpoints end with what was published, and says what is not proven.
func (v *verifier) newest() error {
	published := v.trust.Newest
	switch {
	case published == nil:
		v.result.note("No published checkpoint was given. It is not proven that nothing is missing at the end, nor that the whole was not put back from an older copy.")
	case published.Number > v.last.Number:
		return &Finding{Problem: Truncated, Checkpoint: published.Number, Text: fmt.Sprintf("it was published and covers all up to event %d, and is missing: the newest is %d", published.Sequence, v.last.Number)}
	case published.Number < v.first:
		v.result.note("The published checkpoint, %d, is older than all that are kept, and was not compared.", published.Number)
	}
	if v.trust.Keys == nil {
		v.result.note("No public keys were given: no signature was checked. It is not proven that somebody who can write the file did not seal it all anew.")
	}
	if v.result.Checkpoints == 0 && v.result.Events > 0 {
		v.result.note("There is no checkpoint: the events are chained, and nothing signed vouches for them.")
	}
	return nil
}

// checkTrust says what is wrong with what the verification is to go by, before anything is read.
func (v *verifier) checkTrust() error {
	if former := v.trust.Former; v.trust.restarted(v.result.Incarnation) {
		v.result.Restarted = fmt.Sprintf("this log is that of a new store. Of the one before, %s, all up to event %d was vouched for on %s, and is not here. If nobody lost or replaced the database, somebody has removed its audit log.",
			former.Incarnation, former.Sequence, former.At.UTC().Format(time.RFC3339))
	}
	newest := v.trust.Newest
	if newest == nil {
		return nil
	}
	found := func(problem Problem, text string) error {
		return &Finding{Problem: problem, Checkpoint: max(newest.Number, 1), Text: text}
	}
	if newest.Incarnation != v.result.Incarnation {
		return found(Restarted, fmt.Sprintf("it was published by the store %s, and this is another, %s: the log was begun anew", newest.Incarnation, v.result.Incarnation))
	}
	if bad, err := v.badSignature(*newest); err != nil || bad != "" {
		return orFinding(&Finding{Problem: BadSignature, Checkpoint: max(newest.Number, 1), Text: "the published one: " + bad}, err)
	}
	return nil
}
