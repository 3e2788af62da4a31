// SPDX-License-Identifier: Apache-2.0

package iamapi

import (
	"net/http"

	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// The reasons of invalid_arguments.
const (
	reasonRequired   = "required"
	reasonFormat     = "format"
	reasonConstraint = "constraint"
)

// invalid refuses an argument.
func invalid(argument, reason, help string) error {
	return &wire.Refusal{Status: http.StatusBadRequest, Field: argument, Reason: reason, Message: help}
}

// refuse answers with an error as Scaleway's API does: the clients look at the type.
func refuse(w http.ResponseWriter, refusal *wire.Refusal) {
	wire.WriteJSON(w, refusal.Status, errorBody(refusal))
}

func errorBody(refusal *wire.Refusal) []byte {
	switch refusal.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return invalidArguments(refusal)
	case http.StatusUnauthorized:
		reason := "not_found"
		if refusal.Reason == decisions.Expired {
			reason = "expired"
		}
		return []byte(`{"message":"authentication is denied","method":"api_key","reason":"` + reason + `","type":"denied_authentication"}` + "\n")
	case http.StatusNotFound:
		return []byte(`{"message":"resource is not found","resource":"","resource_id":"","type":"not_found"}` + "\n")
	}
	// For the rest Scaleway has no type; clients show the message.
	body := append([]byte(`{"message":`), wire.AppendString(nil, refusal.Message)...)
	return append(body, "}\n"...)
}

func invalidArguments(refusal *wire.Refusal) []byte {
	argument, reason := refusal.Field, refusal.Reason
	if argument == "" {
		argument = "body"
	}
	if reason == "" {
		reason = reasonFormat
	}
	body := append([]byte(`{"details":[{"argument_name":`), wire.AppendString(nil, argument)...)
	body = append(append(body, `,"help_message":`...), wire.AppendString(nil, refusal.Message)...)
	body = append(append(body, `,"reason":`...), wire.AppendString(nil, reason)...)
	return append(body, `}],"message":"invalid argument(s)","type":"invalid_arguments"}`+"\n"...)
}
