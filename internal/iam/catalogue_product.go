// SPDX-License-Identifier: Apache-2.0

package iam

// productSections are databases, AI, data, integration, monitoring, security and labs.
var productSections = []section{
	{ScopeProjects, []string{CategoryDatabases}, []row{
		{"RelationalDatabasesFullAccess", "Do everything with managed PostgreSQL and MySQL.", "relational_databases:*:*"},
		{"RelationalDatabasesReadOnly", "See managed PostgreSQL and MySQL.", "relational_databases:*:read,list"},
		{"ServerlessSQLDatabaseFullAccess", "Do everything with Serverless SQL databases, their tables and data.", "serverless_sql_database:*:*"},
		{"ServerlessSQLDatabaseReadOnly", "See Serverless SQL databases, and read their tables and data.", "serverless_sql_database:*:read,list"},
		{"ServerlessSQLDatabaseReadWrite", "Read and change data and tables of Serverless SQL databases, but neither create databases nor change their settings.",
			"serverless_sql_database:*:read,list serverless_sql_database:table:* serverless_sql_database:data:*"},
		{"ServerlessSQLDatabaseDataReadWrite", "Read and change data of Serverless SQL databases, but not the shape of their tables.",
			"serverless_sql_database:*:read,list serverless_sql_database:data:*"},
		{"RedisFullAccess", "Do everything with managed Redis.", "redis:*:*"},
		{"RedisReadOnly", "See managed Redis.", "redis:*:read,list"},
		{"MongoDBFullAccess", "Do everything with managed MongoDB.", "mongodb:*:*"},
		{"MongoDBReadOnly", "See managed MongoDB.", "mongodb:*:read,list"},
		{"SearchDBFullAccess", "Do everything with managed OpenSearch.", "search_db:*:*"},
		{"SearchDBReadOnly", "See managed OpenSearch.", "search_db:*:read,list"},
	}},
	{ScopeProjects, []string{CategoryAI}, []row{
		{"GenerativeApisFullAccess", "Do everything with the Generative APIs.", "generative_apis:*:*"},
		{"GenerativeApisModelAccess", "Ask the models of the Generative APIs.", "generative_apis:model:access"},
		{"InferenceFullAccess", "Do everything with dedicated model deployments.", "inference:*:*"},
		{"InferenceReadOnly", "See dedicated model deployments.", "inference:*:read,list"},
	}},
	{ScopeProjects, []string{CategoryData}, []row{
		{"DistributedDataLabFullAccess", "Do everything with Data Labs for Apache Spark.", "distributed_data_lab:*:*"},
		{"DistributedDataLabReadOnly", "See Data Labs for Apache Spark.", "distributed_data_lab:*:read,list"},
		{"DataWarehouseFullAccess", "Do everything with Data Warehouses for ClickHouse.", "data_warehouse:*:*"},
		{"DataWarehouseReadOnly", "See Data Warehouses for ClickHouse.", "data_warehouse:*:read,list"},
		{"KafkaClusterFullAccess", "Do everything with Apache Kafka clusters.", "kafka_cluster:*:*"},
		{"KafkaClusterReadOnly", "See Apache Kafka clusters.", "kafka_cluster:*:read,list"},
	}},
	{ScopeProjects, []string{CategoryIntegration}, []row{
		{"MessagingAndQueuingFullAccess", "Do everything with queues, topics and NATS.", "messaging_and_queuing:*:*"},
		{"MessagingAndQueuingReadOnly", "See queues, topics and NATS.", "messaging_and_queuing:*:read,list"},
		{"IoTFullAccess", "Do everything with IoT Hubs, their devices and networks.", "iot:*:*"},
		{"IoTReadOnly", "See IoT Hubs, their devices and networks.", "iot:*:read,list"},
	}},
	{ScopeProjects, []string{CategoryMonitoring}, []row{
		{"ObservabilityFullAccess", "Do everything with Cockpit: data sources, tokens, alerts and Grafana.", "observability:*:*"},
		{"ObservabilityReadOnly", "See Cockpit and its Grafana dashboards.", "observability:*:read,list"},
		{"ObservabilityGrafanaEditor", "Make and change Grafana dashboards.", "observability:grafana_dashboard:*"},
	}},
	{ScopeProjects, []string{CategorySecurity}, []row{
		// A secret's value is got by `access`, never by `read`, so that no ReadOnly set reveals one.
		{"SecretManagerFullAccess", "Do everything with secrets and their versions, and get their values.", "secret_manager:*:*"},
		{"SecretManagerReadOnly", "See secrets and their versions, but not their values.", "secret_manager:*:read,list"},
		{"SecretManagerSecretAccess", "Get the values of secrets.", "secret_manager:secret_version:access"},
		{"SecretManagerSecretCreate", "Create secrets and versions.", "secret_manager:secret:create secret_manager:secret_version:create"},
		{"SecretManagerSecretDelete", "Delete secrets and versions.", "secret_manager:secret:delete secret_manager:secret_version:delete"},
		{"SecretManagerSecretWrite", "Change what describes secrets and versions, but not their values.", "secret_manager:secret:write secret_manager:secret_version:write"},
		{"SecretManagerSecretRestore", "Bring back deleted secrets and versions.", "secret_manager:secret:restore secret_manager:secret_version:restore"},
		{"KeyManagerFullAccess", "Do everything with keys, and use them.", "key_manager:*:*"},
		{"KeyManagerReadOnly", "See keys, but not use them.", "key_manager:*:read,list"},
		{"KeyManagerKeyCreate", "Create keys.", "key_manager:key:create"},
		{"KeyManagerKeyDecrypt", "Decrypt with keys.", "key_manager:key:decrypt"},
		{"KeyManagerKeyDelete", "Delete keys.", "key_manager:key:delete"},
		{"KeyManagerKeyEncrypt", "Encrypt with keys.", "key_manager:key:encrypt"},
		{"KeyManagerKeyRestore", "Bring back deleted keys.", "key_manager:key:restore"},
		{"KeyManagerKeySign", "Sign with keys.", "key_manager:key:sign"},
		{"KeyManagerKeyVerify", "Verify signatures with keys.", "key_manager:key:verify"},
		{"KeyManagerKeyWrite", "Change keys, but neither create nor delete them.", "key_manager:key:write"},
	}},
	{ScopeProjects, []string{CategoryLabs}, []row{
		{"QaaSFullAccess", "Do everything with Quantum as a Service.", "qaas:*:*"},
		{"QaaSReadOnly", "See Quantum as a Service.", "qaas:*:read,list"},
	}},
}
