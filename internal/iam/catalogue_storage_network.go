// SPDX-License-Identifier: Apache-2.0

package iam

// storageNetworkSections are storage and network.
var storageNetworkSections = []section{
	{ScopeProjects, []string{CategoryStorage}, []row{
		{"ObjectStorageFullAccess", "Do everything with buckets, their policies and objects.", "object_storage:*:*"},
		{"ObjectStorageReadOnly", "See buckets and their policies, and read objects.", "object_storage:*:read,list"},
		{"ObjectStorageObjectsRead", "List and read objects, their tags and metadata.", "object_storage:object:read,list"},
		{"ObjectStorageObjectsWrite", "Upload and change objects, their tags and metadata.", "object_storage:object:create,write"},
		{"ObjectStorageObjectsDelete", "Delete objects.", "object_storage:object:delete"},
		{"ObjectStorageBucketsRead", "See buckets and how they are set up.", "object_storage:bucket:read,list"},
		{"ObjectStorageBucketsWrite", "Create buckets and change how they are set up.", "object_storage:bucket:create,write"},
		{"ObjectStorageBucketsDelete", "Delete buckets.", "object_storage:bucket:delete"},
		{"ObjectStorageBucketPolicyFullAccess", "See, set and remove bucket policies.", "object_storage:bucket_policy:*"},
		{"BlockStorageFullAccess", "Do everything with block volumes and their snapshots.", "block_storage:*:*"},
		{"BlockStorageReadOnly", "See block volumes and their snapshots.", "block_storage:*:read,list"},
		{"FileStorageFullAccess", "Do everything with file systems.", "file_storage:*:*"},
		{"FileStorageReadOnly", "See file systems.", "file_storage:*:read,list"},
	}},
	{ScopeProjects, []string{CategoryStorage, CategoryContainers}, []row{
		{"ContainerRegistryFullAccess", "Do everything with registry namespaces, images and tags.", "container_registry:*:*"},
		{"ContainerRegistryReadOnly", "See and pull from registry namespaces.", "container_registry:*:read,list"},
	}},
	{ScopeProjects, []string{CategoryNetwork}, []row{
		{"VPCFullAccess", "Do everything with VPCs, their Private Networks and routes.", "vpc:*:*"},
		{"VPCReadOnly", "See VPCs, their Private Networks and routes.", "vpc:*:read,list"},
		{"PrivateNetworksFullAccess", "Do everything with Private Networks.", "vpc:private_network:*"},
		{"PrivateNetworksReadOnly", "See Private Networks.", "vpc:private_network:read,list"},
		{"IPAMFullAccess", "Do everything with reserved IP addresses.", "ipam:*:*"},
		{"IPAMReadOnly", "See reserved IP addresses.", "ipam:*:read,list"},
		{"VPCGatewayFullAccess", "Do everything with Public Gateways.", "vpc_gateway:*:*"},
		{"VPCGatewayReadOnly", "See Public Gateways.", "vpc_gateway:*:read,list"},
		{"InterlinkFullAccess", "Do everything with InterLink connections.", "interlink:*:*"},
		{"InterlinkReadOnly", "See InterLink connections.", "interlink:*:read,list"},
		{"InterlinkPartnerFullAccess", "Do everything on the partner's side of InterLink.", "interlink_partner:*:*"},
		{"InterlinkPartnerReadOnly", "See the partner's side of InterLink.", "interlink_partner:*:read,list"},
		{"SiteToSiteVPNFullAccess", "Do everything with site-to-site VPNs.", "site_to_site_vpn:*:*"},
		{"SiteToSiteVPNReadOnly", "See site-to-site VPNs.", "site_to_site_vpn:*:read,list"},
		{"LoadBalancersFullAccess", "Do everything with Load Balancers.", "load_balancers:*:*"},
		{"LoadBalancersReadOnly", "See Load Balancers.", "load_balancers:*:read,list"},
		{"EdgeServicesFullAccess", "Do everything with Edge Services pipelines.", "edge_services:*:*"},
		{"EdgeServicesReadOnly", "See Edge Services pipelines.", "edge_services:*:read,list"},
	}},
}
