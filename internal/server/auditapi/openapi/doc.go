// SPDX-License-Identifier: Apache-2.0

// Package openapi has the OpenAPI definitions of the audit API's types, generated from their Go types and comments.
package openapi
