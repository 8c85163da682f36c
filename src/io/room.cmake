# Its tests run once more under each of these faults; see cmake/fault_lanes.cmake.
set(ROOM_LANES eintr eagain short one_by_one no_room ring_refuses two_completions one_buffer taken stalled all)
# try_accept(), drain() and try_send() tell what the kernel said: there the caller sees the fault, and these tests expect none.
set(listeners drain.gives_every_connection_that_waits_and_then_refuses
              */unix_contract.a_listener_that_is_drained_gives_out_all_that_wait/*
              tcp_listener.what_waits_in_a_shard_is_taken_without_waiting_and_then_there_is_nothing
              tcp_listener.an_accept_of_one_shard_that_is_cancelled_before_while_or_after_loses_no_connection)
set(datagrams udp.nobody_there_is_refused_to_the_next_operation_and_to_one_that_waits
              udp.a_send_cancelled_before_while_or_by_a_deadline_sends_nothing
              udp.a_send_without_room_waits_and_goes_on_when_there_is
              udp.bound_before_the_runtime_it_serves_within
              udp.side_by_side_any_number_of_tasks_send)
# Nothing waits at a listener that was stopped when the kernel says so twice.
set(stopped unix_listener.one_that_was_stopped_refuses_new_connections_and_gives_out_those_that_wait
            */unix_contract.one_that_was_stopped_refuses_new_connections_and_gives_out_those_that_wait/*)
# They count connections and datagrams until there is no room for more: a refusal that is none looks like it.
set(full unix_listener.a_connect_waits_for_room_in_the_backlog_and_answers_cancellation
         unix_datagram.a_sender_that_is_not_connected_says_whom_it_waits_for_and_answers_cancellation)
# One read takes the five bytes of one write; one write is one append.
set(whole pipe.cancellation_racing_a_write_takes_all_or_nothing unix_stream.cancellation_racing_a_write_takes_all_or_nothing
          */file_streams.appends_of_many_never_overlap/*)
# One call takes two datagrams.
set(pairs udp.what_does_not_fit_is_cut_off_and_said_so)
# The page cache has what it is asked for.
set(cached */files.a_read_of_what_is_cached_does_not_leave_the_worker/*)
# An append that was interrupted is told: it may have been made.
set(appended */files.a_durable_write_is_on_the_disk_when_it_returns/*)
# Seconds of volume over calls that the others make too.
set(volume udp.a_hundred_thousand_datagrams_in_batches_arrive_once_each udp.a_hundred_pairs_play_ping_pong_and_nobody_is_forgotten
           buffered_writer.over_a_full_connection_flushes_cut_off_by_deadlines_send_every_byte_once
           signal_set.what_the_sender_wrote_before_is_seen_after)
foreach(lane IN LISTS ROOM_LANES)
  set(ROOM_LANE_${lane}_LEAVES_OUT ${volume})
endforeach()
# Faults of sockets do not reach who reads directories.
foreach(lane eagain short one_by_one no_room one_buffer)
  list(APPEND ROOM_LANE_${lane}_LEAVES_OUT by/directories.*)
endforeach()
foreach(lane ring_refuses two_completions one_buffer)
  set(ROOM_LANE_${lane}_ONLY backends/*/ring* by/*)  # who names a ring, and files, which may choose one
endforeach()
list(APPEND ROOM_LANE_eintr_LEAVES_OUT ${appended})
list(APPEND ROOM_LANE_eagain_LEAVES_OUT ${listeners} ${datagrams} ${stopped} ${full} ${cached})
list(APPEND ROOM_LANE_short_LEAVES_OUT ${whole})
list(APPEND ROOM_LANE_one_by_one_LEAVES_OUT ${pairs})
list(APPEND ROOM_LANE_no_room_LEAVES_OUT ${listeners})
list(APPEND ROOM_LANE_all_LEAVES_OUT ${listeners} ${datagrams} ${stopped} ${full} ${whole} ${pairs} ${cached} ${appended})
set(ROOM_ALONE signal_set.cpp tcp.cpp unix_datagram.cpp unix_listener.cpp unix_stream.cpp)  # the same names as those of TCP and UDP
