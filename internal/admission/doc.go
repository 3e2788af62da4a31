// SPDX-License-Identifier: Apache-2.0

// Package admission is what the API server asks before it stores one of our objects. POST
// /validate judges it: whether the requester may give away what it newly gives away (the
// Guard), then by the rules of package declared that the loop applies too, and by what only
// other objects or the former version tell. POST /default adds the finalizer. POST /deletion
// records who deletes.
//
// Who asked for what was admitted is recorded in the store, where the loop finds it; what
// was refused is an audit event at once. Neither is done for a dry run, and neither ever
// changes an answer.
package admission
