local suspended = obj.spec.suspend == true

return {
  ["suspend"] = {
    ["disabled"] = suspended,
    ["displayName"] = "Suspend",
    ["iconClass"] = "fa fa-fw fa-pause-circle"
  },
  ["resume"] = {
    ["disabled"] = not suspended,
    ["displayName"] = "Resume",
    ["iconClass"] = "fa fa-fw fa-play-circle"
  }
}
