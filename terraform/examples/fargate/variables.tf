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
