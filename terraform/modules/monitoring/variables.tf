variable "prefix" {
  description = "Start of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.prefix))
    error_message = "The prefix has 3 to 20 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "emails" {
  description = "Addresses that alarms are sent to, pages and tickets; each has to confirm twice, once for either."
  type        = set(string)
  default     = []
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days is a retention that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "alarms" {
  description = <<-EOT
    CloudWatch alarms by name. Either one metric (namespace, metric, statistic or percentile, dimensions), or `queries`,
    of which one returns the data.
    description what is wrong and what to do; where the runbook is
    severity    page or ticket: the topic that is told
    compare     a comparison operator of CloudWatch, without "Threshold"
    missing     how missing data is taken: missing, ignore, breaching, notBreaching
  EOT
  type = map(object({
    description = string
    severity    = optional(string, "page")
    threshold   = number
    compare     = optional(string, "GreaterThan")
    period_s    = optional(number, 60)
    periods     = optional(number, 1)
    breaching   = optional(number)
    missing     = optional(string, "notBreaching")
    namespace   = optional(string)
    metric      = optional(string)
    statistic   = optional(string)
    percentile  = optional(string)
    dimensions  = optional(map(string), {})
    queries = optional(map(object({
      expression = optional(string)
      label      = optional(string)
      returns    = optional(bool, false)
      namespace  = optional(string)
      metric     = optional(string)
      statistic  = optional(string)
      dimensions = optional(map(string), {})
    })), {})
  }))
  default = {}

  validation {
    condition     = alltrue([for alarm in var.alarms : (alarm.metric != null) != (length(alarm.queries) > 0)])
    error_message = "An alarm has either a metric or queries."
  }
  validation {
    condition     = alltrue([for alarm in var.alarms : length([for query in alarm.queries : query if query.returns]) == (length(alarm.queries) > 0 ? 1 : 0)])
    error_message = "Exactly one of an alarm's queries returns the data."
  }
  validation {
    condition     = alltrue([for alarm in var.alarms : contains(["page", "ticket"], alarm.severity)])
    error_message = "severity is page or ticket."
  }
  validation {
    condition = alltrue([for alarm in var.alarms : contains(
      ["GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"], alarm.compare
    )])
    error_message = "compare is GreaterThan, GreaterThanOrEqualTo, LessThan or LessThanOrEqualTo."
  }
}

variable "collector" {
  description = <<-EOT
    The OpenTelemetry collector that runs beside the functions and on the SFU hosts; null for none, and then CloudWatch has
    no metrics of the platform's own.
    tag          tag in the repository that this module makes, or
    uri          a whole image reference instead, as REGISTRY/NAME@sha256:...
    folder       of its configurations, SERVICE.yaml, and SERVICE-prometheus.yaml, which is merged into it
    force_delete whether a destroy takes the repository's images with it
  EOT
  type = object({
    tag          = optional(string)
    uri          = optional(string)
    folder       = string
    force_delete = optional(bool, false)
  })
  default = null

  validation {
    condition     = try((var.collector.tag == null) != (var.collector.uri == null), var.collector == null)
    error_message = "Give either collector.tag or collector.uri."
  }
  validation {
    condition     = try(!endswith(var.collector.uri, ":latest"), true) && try(var.collector.tag != "latest", true)
    error_message = "An image is named by what it is: latest is another one each day."
  }
}

variable "prometheus" {
  description = <<-EOT
    A workspace of Amazon Managed Prometheus, which the collectors send every metric to; null for none.
    rules file of recording and alerting rules for it, or null
  EOT
  type        = object({ rules = optional(string) })
  default     = null

  validation {
    condition     = var.prometheus == null || var.collector != null
    error_message = "Nothing sends metrics to Prometheus without a collector."
  }
}

variable "dashboards" {
  description = "Bodies of CloudWatch dashboards (JSON) by name."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for body in var.dashboards : can(jsondecode(body).widgets)])
    error_message = "A dashboard's body is JSON with widgets."
  }
}

variable "folder" {
  description = <<-EOT
    Folder of definitions, or null. `alarms.json` holds alarms as in `alarms`, where $${prefix} and $${region} may stand
    anywhere, and $${name} in the place of a dimension or threshold is replaced from `values`. Every other *.json is a
    dashboard named after its file, and a template, in which $${name} may stand anywhere.
  EOT
  type        = string
  default     = null
}

variable "values" {
  description = "What templates in `folder` may name, beside prefix, region, account and partition."
  type        = map(string)
  default     = {}
}

variable "processes" {
  description = "How many processes run at least, for the estimate of costs."
  type        = object({ functions = optional(number, 3), sfu = optional(number, 2) })
  default     = {}
}

variable "prices" {
  description = <<-EOT
    Money per month of one of CloudWatch's metrics, dashboards and alarms, and per million samples of Prometheus. The
    defaults are meant as list prices in us-east-1 in USD: check them before you plan by them.
  EOT
  type = object({
    metric_month    = optional(number, 0.30)
    dashboard_month = optional(number, 3)
    alarm_month     = optional(number, 0.10)
    million_samples = optional(number, 0.09)
  })
  default = {}

  validation {
    condition     = alltrue([for price in values(var.prices) : price >= 0])
    error_message = "Prices are not negative."
  }
}
