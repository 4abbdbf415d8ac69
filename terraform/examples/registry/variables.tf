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
  description = "Private subnets, two at least, each in another zone. Decide before the first apply."
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

variable "web_token_sha256" {
  description = "Of `sds-api token new`: the hash of the token that the app web registers with."
  type        = string
}

variable "on_call_token_sha256" {
  description = "Of another one, that people on call have."
  type        = string
}

variable "peers_token" {
  description = "A third one, that replicas show each other: the secret that holds the token, and its hash."
  type        = object({ secret_arn = string, sha256 = string })
}

variable "observe" {
  description = "Whether everybody who reaches the registry may register for now, and the log says who would be refused."
  type        = bool
  default     = false
}

variable "scrapers" {
  description = "Security groups of Prometheus, under names of yours."
  type        = map(string)
  default     = {}
}

variable "alarm_actions" {
  description = "ARNs of SNS topics."
  type        = list(string)
  default     = []
}
