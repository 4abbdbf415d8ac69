variable "region" {
  type = string
}

variable "cluster_arn" {
  description = "A cluster with EC2 instances."
  type        = string
}

variable "write_url" {
  description = "write_url of the registry's module."
  type        = string
}

variable "web_token_secret_arn" {
  type = string
}

variable "execution_role_arn" {
  description = "May read that secret, the image, and write the log /ecs/web."
  type        = string
}

variable "sidecar_image" {
  type = string
}

variable "app_image" {
  type = string
}
