# Alarms that need no Prometheus and no Container Insights. DynamoDB's UserErrors is not among them: it counts the whole account;
# what it would tell of this table, the registry itself says in its log.

locals {
  # A message of the registry's log, in how many minutes of five it wakes somebody, and what it means to them.
  messages = {
    full-read-failed = {
      starts = "full read failed"
      within = 2
      means  = "A replica cannot read the table: reads go on from memory, new instances are not taken. Look at the log's error: throttled, denied, or DynamoDB is away."
    }
    snapshot-served = {
      starts = "the store is away or empty"
      within = 1 # said once, at the start
      means  = "A replica started without the table and serves a sibling's last snapshot."
    }
    ecs-denied = {
      starts = "ECS does not let us ask"
      within = 2
      means  = "The registry's role may not call ECS: look at ecs_clusters."
    }
    proxy-header = {
      starts = "a trusted proxy sent a bad PROXY protocol header"
      within = 2
      means  = "Something in the load balancer's networks that is not the load balancer speaks to the registry."
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.messages

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.fields.message = \"${each.value.starts}*\" }"

  metric_transformation {
    namespace     = "sds/${var.name}"
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "log" {
  for_each = local.messages

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.means
  namespace           = "sds/${var.name}"
  metric_name         = each.key
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = each.value.within
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# Replicas that serve, as the load balancer counts them: also when ECS cannot start enough. Its nodes see all zones, so each
# of them counts all replicas.
resource "aws_cloudwatch_metric_alarm" "few_replicas" {
  alarm_name          = "${var.name}-few-replicas"
  alarm_description   = "Fewer replicas of the registry are ready than should run at least."
  namespace           = "AWS/NetworkELB"
  metric_name         = "HealthyHostCount"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.this["main"].arn_suffix }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = var.replicas.min
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "unhealthy_replicas" {
  for_each = local.ports

  alarm_name          = "${var.name}-unhealthy-${each.key}"
  alarm_description   = "The load balancer finds a replica of the registry not ready, at its ${each.key} listener."
  namespace           = "AWS/NetworkELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.this[each.key].arn_suffix }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "throttled" {
  for_each = toset(["ReadThrottleEvents", "WriteThrottleEvents"])

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "DynamoDB throttles the registry's table."
  namespace           = "AWS/DynamoDB"
  metric_name         = each.key
  dimensions          = { TableName = local.table }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# DynamoDB counts its own errors by operation.
resource "aws_cloudwatch_metric_alarm" "store_errors" {
  for_each = toset(["GetItem", "BatchGetItem", "Query", "Scan", "UpdateItem", "PutItem", "DeleteItem"])

  alarm_name          = "${var.name}-SystemErrors-${each.key}"
  alarm_description   = "DynamoDB fails ${each.key} on the registry's table, by its own fault."
  namespace           = "AWS/DynamoDB"
  metric_name         = "SystemErrors"
  dimensions          = { TableName = local.table, Operation = each.key }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
