--- The statements by which a run is written down (lua/store/log.lua), and how each is told to another store, where the run has
--- another number (lua/store/ship.lua).

local codec = require "core.store.codec"

local M = {}

M.ROW = ("INSERT OR REPLACE INTO records (%s,sum) VALUES (%s,stoke_sum(?2,?3,?4,?14,?15,?20,?21))"):format(codec.COLUMNS,
  ("?,"):rep(25) .. "?")
M.PLAIN = "INSERT OR REPLACE INTO records (id,key,class,digest,request,line,time,inline,seen,at,outcome,value,took,sum) "
  .. "VALUES (?,?,?,?,?,?,?,?,?,?,'value',?,?,stoke_sum(?2,?3,?4,'value',?11,NULL,NULL))" -- one as most are
M.ASKED = "INSERT OR REPLACE INTO records (id,key,class,digest,base,kept,request,line,time,inline,at,name,inside,intent,asks,"
  .. "sum) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,stoke_sum(?2,?3,?4,NULL,NULL,NULL,NULL))" -- its outcome is to come
M.VALUE = "UPDATE records SET inline=?,intent=?,seen=?,outcome='value',value=?,took=?,lengths=NULL,error=NULL,facts=NULL,"
  .. "more=NULL,input_tokens=NULL,output_tokens=NULL,seconds=NULL,asks=NULL,"
  .. "sum=stoke_sum(key,class,digest,'value',?4,NULL,NULL) WHERE id=?"
M.DONE = "UPDATE records SET inline=?,intent=?,seen=?,outcome=?,value=?,lengths=?,error=?,facts=?,more=?,"
  .. "input_tokens=?,output_tokens=?,seconds=?,took=?,asks=NULL,"
  .. "sum=stoke_sum(key,class,digest,?4,?5,?6,?7) WHERE id=?"
-- of a stream that goes on
M.OPEN = "UPDATE records SET inline=?,intent=?,seen=?,outcome=?,error=?,facts=?,more=?,"
  .. "input_tokens=?,output_tokens=?,seconds=?,took=?,asks=NULL,"
  .. "sum=stoke_sum(key,class,digest,?4,value,lengths,?5) WHERE id=?"
M.BEGUN = "UPDATE records SET inline=?,intent=?,asks=? WHERE id=?"
M.CONTENT = "INSERT OR IGNORE INTO contents (hash,value) VALUES (?,?)"
M.USE = "INSERT OR IGNORE INTO uses (run,content) SELECT ?,id FROM contents WHERE hash=?"
M.PIECES = "INSERT OR REPLACE INTO pieces (record,first,items,sum) VALUES (?,?,?,stoke_sum(?3))"
M.NO_PIECES = "DELETE FROM pieces WHERE record=?"
M.DELIVERIES = "INSERT INTO deliveries (run,first,records,bytes) VALUES (?,?,?,?)"
M.MODULE = "INSERT INTO modules (run,number,name) VALUES (?,?,?)"
M.SOURCE = "INSERT INTO sources (run,number,name,hash) VALUES (?,?,?,?)"
M.STATE = "UPDATE runs SET state=?,waits=?,why=?,changed=?,calls=?,tokens=?,bytes=? WHERE number=?"
M.END = "UPDATE runs SET state=?,waits=NULL,why=NULL,result=?,error=?,changed=?,calls=?,tokens=?,bytes=?,"
  .. "sum=stoke_sum(id,workflow,input,?2,?3) WHERE number=?"
M.EPOCH = "UPDATE runs SET epoch=epoch+1,changed=? WHERE number=?"
M.BEGAN = "INSERT OR REPLACE INTO epochs (run,epoch,began,records) SELECT number,epoch,?,? FROM runs WHERE number=?"
M.PRINTED = "UPDATE runs SET printed=? WHERE number=?"
M.TAKEN = "UPDATE signals SET taken=? WHERE number=?"
-- by what every store calls it
M.TAKEN_ONCE = "INSERT INTO signals (run,name,once,sent,taken) VALUES (?1,'',?2,0,?3) "
  .. "ON CONFLICT (run,once) WHERE once IS NOT NULL DO UPDATE SET taken=excluded.taken"
M.JOIN = "INSERT OR REPLACE INTO deliveries (run,first,records,bytes) "
  .. "SELECT run,0,max(records),CAST(group_concat(bytes,'') AS BLOB) FROM "
  .. "(SELECT run,records,bytes FROM deliveries WHERE run=? ORDER BY first) GROUP BY run"
M.SQUEEZED = "INSERT OR REPLACE INTO deliveries (run,first,records,bytes,size) VALUES (?,0,?,?,?)"
M.JOINED = "DELETE FROM deliveries WHERE run=? AND first>0"
M.RESTART = "UPDATE runs SET input=?,workflow=?,seed=?,changed=?,calls=?,tokens=?,bytes=0,printed=0,state='running',"
  .. "waits=NULL,why=NULL,snapshots=snapshots+1,sum=stoke_sum(id,?2,?1,result,error) WHERE number=?"
M.DROP = { "DELETE FROM records WHERE id BETWEEN ?1<<32 AND (?1<<32)+4294967295",
  "DELETE FROM pieces WHERE record BETWEEN ?1<<32 AND (?1<<32)+4294967295", "DELETE FROM deliveries WHERE run=?1",
  "DELETE FROM modules WHERE run=?1", "DELETE FROM decisions WHERE run=?1",
  "DELETE FROM signals WHERE run=?1 AND taken IS NOT NULL "
    .. "AND (once IS NULL OR NOT EXISTS (SELECT 1 FROM runs WHERE number=?1 AND shared IS NOT NULL))",
  "DELETE FROM uses WHERE run=?1 AND content NOT IN (SELECT contents.id FROM sources JOIN contents USING (hash) WHERE run=?1)" }
M.TOUCH = "UPDATE runs SET changed=? WHERE number=?"

---@class stoke.store.shipped how a statement is told to another store
---@field sql string
---@field code integer what it is called there: never used for another one
---@field record? integer which parameter is a record's id
---@field run? integer which is the run's number

local CODES = { { "ROW", record = 1 }, { "PLAIN", record = 1 }, { "ASKED", record = 1 }, { "VALUE", record = 6 },
  { "DONE", record = 14 }, { "OPEN", record = 12 }, { "BEGUN", record = 4 }, { "CONTENT" }, { "USE", run = 1 },
  { "PIECES", record = 1 }, { "NO_PIECES", record = 1 }, { "DELIVERIES", run = 1 }, { "MODULE", run = 1 }, { "SOURCE", run = 1 },
  { "STATE", run = 8 }, { "END", run = 8 }, { "EPOCH", run = 2 }, { "BEGAN", run = 3 }, { "PRINTED", run = 2 },
  { "TAKEN_ONCE", run = 1 }, { "JOIN", run = 1 }, { "SQUEEZED", run = 1 }, { "JOINED", run = 1 }, { "RESTART", run = 7 },
  { "DROP", 1, run = 1 }, { "DROP", 2, run = 1 }, { "DROP", 3, run = 1 }, { "DROP", 4, run = 1 }, { "DROP", 5, run = 1 },
  { "DROP", 6, run = 1 }, { "DROP", 7, run = 1 } }

--- By their code; and by their text. What is in neither concerns one store alone.
---@type table<integer|string, stoke.store.shipped>
M.shipped = {}

--- The codes of some of them.
M.CONTENT_CODE, M.STATE_CODE, M.END_CODE = 8, 15, 16
M.RESTART_CODE = 24
--- By code, those that tell what came of an effect: the parameter with its record, and the one that may say that nothing came yet.
M.OUTCOMES = { [1] = { record = 1, outcome = 14 }, [2] = { record = 1 }, [4] = { record = 6 }, [5] = { record = 14 },
  [6] = { record = 12 } }

for code, one in ipairs(CODES) do
  local text = one[2] and M[one[1]][one[2]] or M[one[1]]
  local entry = { sql = text, code = code, record = one.record, run = one.run }
  M.shipped[code], M.shipped[text] = entry, entry
end

return M
