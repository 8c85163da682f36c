// journal.hpp — what a downstream has promised, as lines of text in one file that only grows; one fdatasync for all that wait.
//
// A line is the checksum of its text (XXH3, 16 hexadecimal digits), a blank, the text, a line feed: it can be read by `less`.
//
//   append()   puts a line into the batch that is being filled                                          any task
//   run()      one task: takes the batch, one durable write; what comes meanwhile is the next batch
//   durable()  waits until the batch has been written, or cannot be
//
// Recovery takes lines up to the first that does not hold, and cuts the rest. After a kill that rest was promised to nobody: one
// batch is in flight at a time, and nobody is answered before its write has returned. A bit that flips in the middle is not told
// from that, other than in the store of the orders (log_format.hpp): what stands here is somebody else's service, kept short.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <levity/levity.hpp>

namespace orders {

/// What a journal said when it was opened.
struct journal_start {
  std::vector<std::string> lines;
  std::uint64_t size = 0;       ///< of what holds; the file ends there now
  std::uint64_t cut_bytes = 0;  ///< what came behind
};

/// Reads a journal, or makes an empty one; what does not hold is cut off. Errors: one sentence.
levity::task<std::expected<journal_start, std::string>> open_journal(std::string path);

/// Writes a journal. append() and durable() from any task; run() by one task of the same runtime, which the journal outlives.
class journal {
public:
  /// Goes on behind the first `size` bytes of the file, which open_journal() has made.
  journal(std::string path, std::uint64_t size) : path_(std::move(path)), size_(size) {}
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;

  struct batch {
    std::string bytes;
    levity::event ended;
    bool failed = false;  ///< to be read when `ended` is set
  };
  using ticket = std::shared_ptr<batch>;

  /// Adds a line, which has no line feed in it; the ticket is for durable(). Never waits.
  ticket append(std::string_view line);
  /// A ticket for everything that was appended before. Never waits.
  ticket all_so_far();
  /// Whether the line of that ticket is on the disk; waits until that is known.
  static levity::task<bool> durable(ticket of);

  /// Writes until stop() was called and everything that was appended before is on the disk, or a write has failed.
  levity::task<> run();
  /// Any thread.
  void stop();

private:
  ticket take_ticket(std::string_view line, bool adds);
  levity::task<bool> write(const batch& filled);

  const std::string path_;
  std::uint64_t size_;  // run()'s, as the next
  levity::file file_;

  std::mutex lock_;  // never held over an await
  ticket filling_ = std::make_shared<batch>();
  bool stopping_ = false;
  bool failed_ = false;

  levity::event work_;
};

}  // namespace orders
