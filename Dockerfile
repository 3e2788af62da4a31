# The image of iam-operator: one static binary, no shell, no libc, not root.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
# Modules before sources: a change of code doesn't fetch them again.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/iam-operator .

FROM scratch
# For outbound TLS, such as exporting audit events or traces.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/iam-operator /iam-operator
# By number, so that `runAsNonRoot` can be checked without a passwd file. SQLite's file needs a volume that this user (or fsGroup) may write.
USER 65532:65532
ENTRYPOINT ["/iam-operator"]
