variable "region" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "vpc_cidr" {
  type = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "cluster_arn" {
  type = string
}

variable "write_url" {
  description = "write_url of the registry."
  type        = string
}

variable "xds_url" {
  description = "xds_url of the registry, which has no TLS here: with it Envoy's cluster sds needs a transport_socket."
  type        = string

  validation {
    condition     = can(regex("^http://[^:/]+:[0-9]+$", var.xds_url))
    error_message = "An URL of http with a port is needed; for https give the cluster sds in envoy_config a transport_socket."
  }
}

variable "registry_security_group" {
  description = "registry_security_group of the registry."
  type        = string
}

variable "web_token_secret_arn" {
  description = "The secret with the token whose hash the registry's policy has."
  type        = string
}

variable "sidecar_image" {
  type = string
}

variable "app_image" {
  type = string
}

variable "envoy_image" {
  type    = string
  default = "envoyproxy/envoy:distroless-v1.40.0"
}

variable "envoy_config" {
  description = "The file of the Envoy's configuration."
  type        = string
  default     = "../../../docker/envoy/task.yaml"

  validation {
    condition     = strcontains(file(var.envoy_config), "{address: sds-api, port_value: 8080}")
    error_message = "The registry's address would not be put in: it is to be written {address: sds-api, port_value: 8080}."
  }
}

variable "prometheus_security_group" {
  description = "Of the Prometheus that scrapes Envoys and sidecars."
  type        = string
}
