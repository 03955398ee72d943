T = None


def write(results):
  return ""
