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
  description = "Private subnets, two at least, each in another zone."
  type        = list(string)
}

variable "cluster_arn" {
  type = string
}

variable "dns" {
  description = "The registry's name in a private zone of yours: { zone_id, name }."
  type        = object({ zone_id = string, name = string })
}

variable "sds_api_image" {
  type = string
}

variable "sidecar_image" {
  type = string
}

variable "app_image" {
  type = string
}

variable "web_token" {
  description = "Of `sds-api token new`: the secret that holds the token, and its SHA-256."
  type        = object({ secret_arn = string, sha256 = string })
}

variable "peers_token" {
  description = "Another one, that replicas show each other."
  type        = object({ secret_arn = string, sha256 = string })
}

variable "on_call_token_sha256" {
  description = "Of a third one, that people on call have."
  type        = string
}

variable "alarm_actions" {
  description = "ARNs of SNS topics."
  type        = list(string)
  default     = []
}
