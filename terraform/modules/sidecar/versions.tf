# No provider: the module only says what a container is to be told, so it fits into any task definition, and its tests need
# nothing but Terraform itself. Validations that look at two variables need 1.9.
terraform {
  required_version = ">= 1.9"
}
