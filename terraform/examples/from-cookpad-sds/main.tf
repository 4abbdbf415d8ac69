# The registry on cookpad/sds's own table, open as that was, beside the clients and Envoys that are there. The order of steps:
#
# 1. Apply this. The new registry serves the old one's rows; nobody asks it yet.
# 2. Move the Envoys (v1 SDS or REST EDS, the same paths) from the old readers to it, all within a day.
# 3. Move the writers: the same API, so only their URL changes. A row becomes ours when its client registers here.
#    Until both are done the old servers must not be asked any more than needed: they serve deregistered rows until DynamoDB
#    collects them. To go back is to point both at the old servers: our rows have all of their attributes.
# 4. Stop the old servers.
# 5. Service by service: sidecars in the place of the old clients. They own their hosts from then on, whatever an old client says.
# 6. Close it: sds-api/SECURITY.md, "From open to closed"; then `allow_open_writes` goes.

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

module "registry" {
  source = "../../modules/registry"

  image       = var.sds_api_image
  cluster_arn = var.cluster_arn
  vpc_id      = var.vpc_id
  subnet_ids  = var.subnet_ids

  existing_table = { name = var.table }

  # As open as cookpad/sds, and ready for step 6: a service without a rule will ask for a token.
  policy            = jsonencode({ services = [{ names = ["*"], mode = "off" }] })
  allow_open_writes = true

  # Readers and writers have one URL.
  listeners = []
  clients   = { main = { cidrs = { vpc = var.vpc_cidr } } }
  dns       = var.dns

  # How long a client may be silent, as it was set for the old servers.
  options = { HOST_TTL = "120s" }

  alarm_actions = var.alarm_actions
}
