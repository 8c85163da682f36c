#include "platform/cgroup.hpp"

#include <cerrno>
#include <cstdio>
#include <sstream>
#include <string_view>
#include <system_error>

#include "platform/text_file.hpp"

namespace levity::inline v0::detail {
namespace {

// Nothing of a file that is not there.
std::string text_of(const std::string& path) {
  if (std::optional<std::string> text = read_text(path)) return *std::move(text);
  const int code = errno;
  if (code == EMFILE || code == ENFILE || code == ENOMEM) throw std::system_error(code, std::generic_category(), path);
  return {};
}

struct mount {
  std::string root;   // the group at `at`
  std::string at;
  bool is_v2 = false;
  std::string options;  // v1: the controllers among them
};

bool has_word(std::string_view list, std::string_view word) {
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t end = std::min(list.find(',', from), list.size());
    if (list.substr(from, end - from) == word) return true;
    from = end + 1;
  }
  return false;
}

// A space, a tab, a line feed and a backslash are written in octal: \040.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool coded = text[i] == '\\' && i + 3 < text.size() && text.find_first_not_of("01234567", i + 1) > i + 3;
    if (!coded) {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return plain;
}

// proc(5): id, parent, device, root, mount point, options, any number of tags, "-", type, source, options of the hierarchy.
std::vector<mount> mounts_of(const std::string& proc) {
  std::vector<mount> found;
  std::istringstream lines(text_of(proc + "/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash));
    std::istringstream right(line.substr(dash + 3));
    std::string skipped, root, at, type, options;
    left >> skipped >> skipped >> skipped >> root >> at;
    right >> type >> skipped >> options;
    if (type == "cgroup" || type == "cgroup2") found.push_back({unescaped(root), unescaped(at), type == "cgroup2", options});
  }
  return found;
}

// What is left of `path` below `root`; nothing if it does not lie there, or outside of what can be seen.
std::optional<std::string> below(const std::string& root, const std::string& path) {
  std::string rest = path;
  if (root != "/") {
    if (!path.starts_with(root) || (path.size() > root.size() && path[root.size()] != '/')) return std::nullopt;
    rest = path.substr(root.size());
  }
  if (rest == "/") rest.clear();
  if ((rest + "/").find("/../") != std::string::npos) return std::nullopt;
  return rest;
}

// From the group `path` of a hierarchy up to what is mounted of it. A mount that shows the group is better than one that does not,
// whose root is then all there is to see.
std::vector<std::string> folders_of(const std::vector<mount>& mounts, bool is_v2, std::string_view controller,
                                    const std::string& path) {
  const mount* best = nullptr;
  std::optional<std::string> rest;
  for (const mount& each : mounts) {
    if (each.is_v2 != is_v2 || (!is_v2 && !has_word(each.options, controller))) continue;
    std::optional<std::string> here = below(each.root, path);
    if (best != nullptr && (rest || !here)) continue;
    best = &each;
    rest = std::move(here);
  }
  if (best == nullptr) return {};
  std::vector<std::string> folders;
  for (std::string group = rest.value_or("");; group.resize(group.rfind('/'))) {
    folders.push_back(best->at + group);
    if (group.empty()) return folders;
  }
}

std::optional<double> quota_in(const std::string& folder, bool is_v2) {
  double quota = 0;
  double period = 0;
  if (is_v2) {
    if (std::sscanf(text_of(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period) != 2) return std::nullopt;
  } else {
    if (std::sscanf(text_of(folder + "/cpu.cfs_quota_us").c_str(), "%lf", &quota) != 1) return std::nullopt;
    if (std::sscanf(text_of(folder + "/cpu.cfs_period_us").c_str(), "%lf", &period) != 1) return std::nullopt;
  }
  if (!(quota > 0 && period > 0)) return std::nullopt;
  return quota / period;
}

}  // namespace

cgroups::cgroups(const std::string& proc) {
  const std::vector<mount> mounts = mounts_of(proc);
  std::istringstream lines(text_of(proc + "/cgroup"));
  for (std::string line; std::getline(lines, line);) {  // number:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      for (const std::string& folder : folders_of(mounts, true, "", path)) {
        for_quota_.push_back({folder, true});
        for_cpus_.push_back({folder, true});
        for (const char* file : {"/cpu.max", "/cpuset.cpus", "/cgroup.subtree_control"}) written_.push_back(folder + file);
      }
      continue;
    }
    if (has_word(controllers, "cpu")) {
      for (const std::string& folder : folders_of(mounts, false, "cpu", path)) {
        for_quota_.push_back({folder, false});
        for (const char* file : {"/cpu.cfs_quota_us", "/cpu.cfs_period_us"}) written_.push_back(folder + file);
      }
    }
    if (has_word(controllers, "cpuset")) {
      for (const std::string& folder : folders_of(mounts, false, "cpuset", path)) {
        for_cpus_.push_back({folder, false});
        written_.push_back(folder + "/cpuset.cpus");
      }
    }
  }
}

std::optional<double> cgroups::cpu_quota() const {
  std::optional<double> tightest;
  for (const group& each : for_quota_) {
    const std::optional<double> quota = quota_in(each.folder, each.is_v2);
    if (quota && (!tightest || *quota < *tightest)) tightest = quota;
  }
  return tightest;
}

std::optional<cpu_set> cgroups::cpus() const {
  for (const group& each : for_cpus_) {
    const char* const file = each.is_v2 ? "/cpuset.cpus.effective" : "/cpuset.effective_cpus";
    std::optional<cpu_set> read = cpu_set::parse(text_of(each.folder + file));
    if (read && !read->empty()) return read;
  }
  return std::nullopt;
}

}  // namespace levity::detail
