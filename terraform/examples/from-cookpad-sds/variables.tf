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

variable "table" {
  description = "cookpad/sds's table."
  type        = string
}

variable "dns" {
  description = "The registry's name in a private zone of yours: { zone_id, name }."
  type        = object({ zone_id = string, name = string })
  default     = null
}

variable "sds_api_image" {
  type = string
}

variable "alarm_actions" {
  description = "ARNs of SNS topics."
  type        = list(string)
  default     = []
}
